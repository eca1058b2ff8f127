"""Settings: what is refused, and what the sentence says."""

import pytest

from devtools import ROOT
from jobqueue.service.settings import load_settings, shown
from queue_manager.settings import QueueManagerSettings

TEMPLATE = ROOT / "workflows" / "proto-gcn-workflow.yaml"


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("WORKFLOW_TEMPLATE", str(TEMPLATE))
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AUTH", "maybe", "should be 'token' or 'off'"),
        ("REDIS_URL", "http://redis:6379", "must begin with redis://"),
        ("REDIS_URL", "redis://redis:port", "Port could not be cast"),
        ("WORKFLOW_TEMPLATE", "/nowhere/proto-gcn-workflow.yaml", "must be an existing file"),
        ("QUEUE_MANAGER_PORT", "0", "greater than or equal to 1"),
        ("QUEUE_MANAGER_THREADS", "8", "greater than 8"),
        ("MAX_QUEUED", "many", "valid integer"),
        ("REQUIRE_GPU", "perhaps", "valid boolean"),
    ],
)
def test_a_wrong_value_is_one_sentence_and_exit_2(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, says: str
) -> None:
    env.setenv(name, value)
    with pytest.raises(SystemExit) as exit_:
        load_settings(QueueManagerSettings)
    assert exit_.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{name}='{value}' is refused: ")
    assert says.lower() in told.lower()
    assert told.count("\n") == 1


def test_the_password_of_redis_is_in_no_log(env: pytest.MonkeyPatch) -> None:
    env.setenv("REDIS_URL", "redis://me:hunt@er2@redis:6379/0")
    settings = load_settings(QueueManagerSettings)
    assert settings.redis_url == "redis://me:hunt@er2@redis:6379/0"
    assert shown(settings)["redis_url"] == "redis://me:…@redis:6379/0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_may_go_without_tokens(env: pytest.MonkeyPatch, host: str) -> None:
    env.setenv("QUEUE_MANAGER_HOST", host)
    env.setenv("AUTH", "off")
    settings = load_settings(QueueManagerSettings)
    assert (settings.queue_manager_host, settings.auth) == (host, "off")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "gpu-1", "192.168.1.5", ""])
def test_off_loopback_goes_with_tokens_only(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    env.setenv("QUEUE_MANAGER_HOST", host)
    assert load_settings(QueueManagerSettings).auth == "token"  # unless somebody says otherwise
    env.setenv("AUTH", "off")
    with pytest.raises(SystemExit):
        load_settings(QueueManagerSettings)
    told = capsys.readouterr().err
    assert told.startswith(
        f"QUEUE_MANAGER_HOST='{host}' is refused: with AUTH=off everybody who reaches it"
    )
    assert told.count("\n") == 1


def test_threads_are_left_for_those_who_do_not_follow() -> None:
    settings = QueueManagerSettings()
    assert settings.max_followers == 32
    assert settings.default_workflow == "proto-gcn"
