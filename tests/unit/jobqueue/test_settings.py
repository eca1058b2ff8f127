"""How settings are read, refused and shown, for every service."""

import pytest
from pydantic_settings import BaseSettings

from jobqueue.service.settings import load_settings, shown
from resource_monitor.settings import Settings as MonitorSettings
from scheduler.settings import SchedulerSettings


@pytest.mark.parametrize(
    "settings",
    [SchedulerSettings, MonitorSettings],
    ids=lambda it: it.__name__,
)
def test_every_default_keeps_its_own_rule(settings: type[BaseSettings]) -> None:
    """Pydantic does not check defaults, so a default outside its range would only show later."""
    defaults = settings()
    assert settings(**dict(defaults)) == defaults


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("POLL_INTERVAL_S", "0", "greater than 0"),
        ("POLL_INTERVAL_S", "inf", "finite"),
        ("MAX_RUNNING_JOBS", "many", "integer"),
        ("ENGINE", "slurm", "'argo' or 'local'"),
        ("WORKFLOW_NAMESPACE", "No_Name", "1 to 63 of a-z"),
        ("LOCAL_IMAGES", "proto-gcn", "write it like proto-gcn:latest=/opt/proto_gcn"),
        ("RESUME", "perhaps", "'auto' or 'manual'"),
        ("REDIS_URL", "foo", "redis://"),
        ("RESOURCE_MONITOR_URL", "http://monitor:99999", "port out of range"),
        ("LOCAL_GRACE_S", "abc", "number"),
    ],
)
def test_a_wrong_value_refuses_to_start(
    monkeypatch, capsys, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as refused:
        load_settings(SchedulerSettings)
    assert refused.value.code == 2
    [sentence] = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"{name}='{value}' is refused: ")
    assert says in sentence


def test_secrets_are_not_shown(monkeypatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://me:secret@redis:6379/0")
    monkeypatch.setenv("ALERT_URLS", "slack://token-a, mailto://user:secret@host")
    settings = load_settings(SchedulerSettings)
    assert settings.alert_urls == ("slack://token-a", "mailto://user:secret@host")
    text = str(shown(settings))
    assert "secret" not in text
    assert "token-a" not in text
    assert "redis://me:…@redis:6379/0" in text


def test_a_wrong_url_does_not_show_its_password_either(monkeypatch, capsys) -> None:
    monkeypatch.setenv("LOCAL_IMAGES", "redis://me:secret@host")
    with pytest.raises(SystemExit):
        load_settings(SchedulerSettings)
    assert "secret" not in capsys.readouterr().err
