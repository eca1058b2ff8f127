"""Invalid settings are refused with one sentence."""

from pathlib import Path

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
def test_an_invalid_value_is_one_sentence_and_exit_code_2(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, says: str
) -> None:
    env.setenv(name, value)
    with pytest.raises(SystemExit) as exit_:
        load_settings(QueueManagerSettings)
    assert exit_.value.code == 2
    output = capsys.readouterr().err
    assert output.startswith(f"{name}='{value}' is refused: ")
    assert says.lower() in output.lower()
    assert output.count("\n") == 1


def test_the_password_of_redis_is_not_logged(env: pytest.MonkeyPatch) -> None:
    env.setenv("REDIS_URL", "redis://me:hunt@er2@redis:6379/0")
    settings = load_settings(QueueManagerSettings)
    assert settings.redis_url == "redis://me:hunt@er2@redis:6379/0"
    assert shown(settings)["redis_url"] == "redis://me:…@redis:6379/0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_auth_off_is_accepted_on_loopback(env: pytest.MonkeyPatch, host: str) -> None:
    env.setenv("QUEUE_MANAGER_HOST", host)
    env.setenv("AUTH", "off")
    settings = load_settings(QueueManagerSettings)
    assert (settings.queue_manager_host, settings.auth) == (host, "off")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "gpu-1", "192.168.1.5", ""])
def test_elsewhere_auth_off_is_refused(
    env: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    env.setenv("QUEUE_MANAGER_HOST", host)
    assert load_settings(QueueManagerSettings).auth == "token"  # the default
    env.setenv("AUTH", "off")
    with pytest.raises(SystemExit):
        load_settings(QueueManagerSettings)
    output = capsys.readouterr().err
    assert output.startswith(
        f"QUEUE_MANAGER_HOST='{host}' is refused: with AUTH=off anyone who reaches it"
    )
    assert output.count("\n") == 1


@pytest.mark.parametrize("threads", [9, 40])
def test_followers_never_get_all_threads(env: pytest.MonkeyPatch, threads: int) -> None:
    env.setenv("QUEUE_MANAGER_THREADS", str(threads))
    assert QueueManagerSettings().max_followers == threads - 8


def test_the_default_workflow_is_the_named_template(
    env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    template = tmp_path / "other-workflow.yaml"
    template.touch()
    env.setenv("WORKFLOW_TEMPLATE", str(template))
    assert QueueManagerSettings().default_workflow == "other"
