"""`gpuq admin node`, `backup` and `restore` against a real Valkey."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_node
from jobqueue.clock import rfc3339
from jobqueue.job import JobSpec
from jobqueue.reason import ReasonCode
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Leader, SlotLimits, Start


@pytest.fixture
def admin(
    gpuq: Callable[..., Any], store: Store, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Run `gpuq admin …` on an empty Redis."""
    monkeypatch.setenv("REDIS_URL", valkey_url)
    return lambda *words: gpuq("admin", *words)


@pytest.fixture
def lead(store: Store) -> Leader:
    lead = Leader.lead(store, "me", 60)
    assert lead is not None
    return lead


def submit(store: Store, user: str) -> str:
    return store.enqueue(
        JobSpec(user, "c.yaml", f"/data/{user}", config_text=f"# {user}\n"), NOW, Caps()
    ).job_id


def observe(lead: Leader, **nodes: str) -> None:
    """Write the monitors' reports: `answers`, `long_ago`, or the error."""
    good, said = make_node().snapshot, {}
    assert good is not None
    for name, what in nodes.items():
        at = time.time() - (3600 if what == "long_ago" else 0)
        answers = what in ("answers", "long_ago")
        said[name] = {
            "at": rfc3339(at),
            "snapshot": good.encode() if answers else None,
            "error": what,
        }
    lead.observe({}, said)


def start(store: Store, lead: Leader, user: str, node: str) -> str:
    job_id = submit(store, user)
    lead.admit(store.job(job_id), NOW, Start(node, (), "w", "m"), SlotLimits(9, 1))
    return job_id


class TestNode:
    def test_dead_until_alive(self, admin: Callable[..., Any], store: Store, lead: Leader) -> None:
        job_id = start(store, lead, "ann", "gpu2")
        observe(lead, gpu1="answers", gpu2="the monitor cannot be reached")
        ran = admin("node", "dead", "gpu2")
        assert (ran.code, ran.out) == (0, "")
        assert job_id in ran.err
        assert "gpuq admin node alive gpu2" in ran.err
        assert list(store.dead_nodes()) == ["gpu2"]
        assert admin("node", "alive", "gpu2").code == 0
        assert store.dead_nodes() == {}

    @pytest.mark.parametrize(
        ("words", "code", "says"),
        [
            (["dead", "gpu1"], 5, "The monitor of gpu1 answered at "),
            (["dead", "gpu9"], 4, "There is no node gpu9; gpuq admin node list shows them."),
            (["alive", "gpu2"], 4, "gpu2 was not declared dead."),
            (["dead"], 2, "NODE"),
        ],
    )
    def test_impossible_declarations_are_refused(
        self,
        admin: Callable[..., Any],
        store: Store,
        lead: Leader,
        words: list[str],
        code: int,
        says: str,
    ) -> None:
        observe(lead, gpu1="answers", gpu2="the monitor cannot be reached")
        ran = admin("node", *words)
        assert ran.code == code
        assert says in ran.err
        assert store.dead_nodes() == {}

    def test_an_old_report_does_not_prevent_the_declaration(
        self, admin: Callable[..., Any], lead: Leader
    ) -> None:
        observe(lead, gpu1="long_ago")
        assert admin("node", "dead", "gpu1").code == 0

    def test_list(self, admin: Callable[..., Any], store: Store, lead: Leader) -> None:
        assert admin("node", "list").err.startswith("No node has reported")
        job_id = start(store, lead, "ann", "gpu3")
        observe(lead, gpu1="answers", gpu2="the monitor cannot be reached")
        store.declare_dead("gpu2", NOW)
        assert [line.split() for line in admin("node", "list").out.splitlines()] == [
            ["NODE", "DECLARED", "DEAD", "JOBS", "MONITOR"],
            ["gpu1", "-", "-", "answers"],
            ["gpu2", "2026-11-18T11:06:40.000Z", "-", "the", "monitor", "cannot", "be", "reached"],
            ["gpu3", "-", job_id, "has", "not", "reported"],
        ]


class TestBackup:
    def test_the_queue_survives_an_emptied_redis(
        self, admin: Callable[..., Any], store: Store, raw_redis: Any, tmp_path: Path
    ) -> None:
        ids = [submit(store, user) for user in "abc"]
        file = tmp_path / "queue.json"
        ran = admin("backup", str(file))
        assert (ran.code, ran.out, ran.err) == (0, "", "Queued jobs in the backup: 3.\n")
        assert file.stat().st_mode & 0o777 == 0o600
        raw_redis.flushall()
        new = submit(store, "new")
        ran = admin("restore", str(file))
        assert (ran.code, ran.err) == (
            0,
            "Restored 3 jobs; 0 were known already.\n",
        )
        assert store.order(0, 9) == [new, *ids]
        assert store.job(ids[0]).spec.config_text == "# a\n"
        assert store.job(ids[0]).reason.code is ReasonCode.RESTORED
        assert admin("restore", str(file)).err.startswith("Restored 0 jobs; 3 were known")
        assert store.order(0, 9) == [new, *ids]

    def test_stdout_contains_only_the_document(
        self, admin: Callable[..., Any], store: Store
    ) -> None:
        submit(store, "a")
        for words in (["backup"], ["backup", "-"]):
            assert len(json.loads(admin(*words).out)["queue"]) == 1

    def test_tokens_are_restored_only_on_request_and_never_as_secrets(
        self, admin: Callable[..., Any], store: Store, raw_redis: Any, tmp_path: Path
    ) -> None:
        secret = admin("token", "create", "--user", "ann").out.strip()
        file = tmp_path / "queue.json"
        admin("backup", str(file))
        assert secret not in file.read_text()
        before = store.tokens()
        raw_redis.flushall()
        admin("restore", str(file))
        assert store.tokens() == []
        assert (
            "Restored 1 tokens; 0 were known already."
            in admin("restore", "--tokens", str(file)).err
        )
        assert store.tokens() == before
        assert (
            "Restored 0 tokens; 1 were known already."
            in admin("restore", "--tokens", str(file)).err
        )

    def test_a_backup_replaces_an_older_one_as_a_whole(
        self, admin: Callable[..., Any], store: Store, tmp_path: Path
    ) -> None:
        file = tmp_path / "queue.json"
        admin("backup", str(file))
        submit(store, "a")
        admin("backup", str(file))
        assert len(json.loads(file.read_text())["queue"]) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["queue.json"]

    def test_an_unreadable_record_is_reported(
        self, admin: Callable[..., Any], store: Store, raw_redis: Any
    ) -> None:
        broken, _ = submit(store, "a"), submit(store, "b")
        raw_redis.hset(f"job:{broken}", "phase", "nonsense")
        ran = admin("backup")
        assert len(json.loads(ran.out)["queue"]) == 1
        assert "1 left out (no longer queued, or unreadable)" in ran.err

    @pytest.mark.parametrize(
        ("content", "says"),
        [(None, "cannot be read (No such file or directory)."), (b"\xff", "not UTF-8")],
    )
    def test_an_unreadable_file_is_refused(
        self, admin: Callable[..., Any], tmp_path: Path, content: bytes | None, says: str
    ) -> None:
        if content is not None:
            (tmp_path / "queue.json").write_bytes(content)
        ran = admin("restore", str(tmp_path / "queue.json"))
        assert (ran.code, ran.out) == (1, "")
        assert says in ran.err

    def test_a_file_that_is_not_a_backup_changes_nothing(
        self, admin: Callable[..., Any], store: Store, raw_redis: Any, tmp_path: Path
    ) -> None:
        submit(store, "a")
        document = json.loads(admin("backup").out)
        raw_redis.flushall()
        document["queue"].append({})
        (tmp_path / "queue.json").write_text(json.dumps(document))
        ran = admin("restore", str(tmp_path / "queue.json"))
        assert (ran.code, ran.err) == (
            1,
            "queue[1] of this backup cannot be read: user is missing.\n",
        )
        assert store.queue_length() == 0

    def test_a_missing_folder_is_reported(self, admin: Callable[..., Any], tmp_path: Path) -> None:
        ran = admin("backup", str(tmp_path / "no" / "queue.json"))
        assert (ran.code, ran.out) == (1, "")
        assert "queue.json cannot be written (No such file or directory)." in ran.err

    def test_an_unreachable_redis_is_reported_in_one_sentence(
        self, admin: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
        for words in (["backup"], ["node", "list"], ["node", "dead", "gpu1"]):
            ran = admin(*words)
            assert (ran.code, ran.out) == (1, "")
            assert ran.err.startswith("Redis cannot be reached")
