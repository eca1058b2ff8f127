"""This module has fakes with the real method names, and makers of jobs and snapshots."""

import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from jobqueue.job import Job, JobSpec, QueueEntry
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.resources import Cpu, Gpu, Memory, NodeReason, NodeSnapshot, Thresholds
from scheduler.decide.capacity import Node
from scheduler.engines.contract import (
    Engine,
    EngineError,
    Placement,
    WorkflowExists,
    WorkflowPhase,
    WorkflowStatus,
)
from workflows.render import ANNOTATION_SUBMISSION, LABEL_ATTEMPT, LABEL_JOB

NOW = 1_795_000_000.0


def make_job(user: str = "ann", number: int = 1, phase: Phase = Phase.QUEUED, **fields: Any) -> Job:
    """Return a job as the store would; `spec_…` fields go to its spec."""
    spec = {
        name.removeprefix("spec_"): fields.pop(name)
        for name in list(fields)
        if name.startswith("spec_")
    }
    job_id = f"{user}_2026112412000{number}"
    entry = QueueEntry(user, "config.yaml", f"/data/{user}", "2026-11-24T12:00:00", job_id).encode()
    return replace(
        Job(
            job_id=job_id,
            spec=JobSpec(user, "config.yaml", f"/data/{user}", config_text="a: 1\n", **spec),
            entry=entry,
            phase=phase,
            reason=Reason(ReasonCode.SUBMITTED, "Just submitted."),
            submitted_at=NOW,
            queued_at=NOW,
        ),
        **fields,
    )


def make_gpu(index: int = 0, available: bool = True, **fields: Any) -> Gpu:
    gpu = Gpu(index, f"GPU-{index:08x}", "Fake", 1000, 24000, 23000, 3, 80, 40, 0, available)
    return replace(gpu, **fields)


def make_node(
    name: str = "gpu-1", gpus: int = 1, available: bool = True, busy: tuple[int, ...] = ()
) -> Node:
    """Return a node on which the GPUs in `busy` are not available; if all are busy, it is not."""
    cards = tuple(make_gpu(index, index not in busy) for index in range(gpus))
    cards = tuple(replace(card, uuid=f"{card.uuid}-{name}") for card in cards)
    passes = available and (not cards or any(card.available for card in cards))
    reasons = () if passes else (NodeReason("gpu_busy", "GPU 0 is at 93 % (limit: below 80 %)"),)
    snapshot = NodeSnapshot(
        name,
        passes,
        0.2,
        reasons,
        cards,
        Cpu(10.0, (0.1, 0.1, 0.1)),
        Memory(1000, 32000, 3.1),
        Thresholds(),
    )
    return Node(name, snapshot)


class FakeMonitors:
    """This fake answers with the given nodes, and remembers the windows in the calls."""

    def __init__(self, *nodes: Node) -> None:
        self.answer = list(nodes)
        self.windows: list[dict[str, float]] = []

    def nodes(self, window_s: Mapping[str, float] | None = None) -> list[Node]:
        self.windows.append(dict(window_s or {}))
        return self.answer


class FakeEngine(Engine):
    """An engine with its workflows in a dict.

    `refuse` is raised by the next create, after the effect if `late`; with `slow_to_delete` a
    deleted workflow is gone only after `settle`.
    """

    def __init__(self, pins_gpus: bool = True, name: str = "fake") -> None:
        self.name = name
        self.pins_gpus = pins_gpus
        self.made: dict[str, WorkflowStatus] = {}
        self.config_texts: dict[str, str] = {}
        self.created: list[str] = []
        self.stopped: list[str] = []
        self.deleted: list[str] = []
        self.cleared: list[str] = []
        self.answering: frozenset[str] = frozenset()  #: nodes, as the last list was told
        self.slow_to_delete = False
        self._leaving: set[str] = set()  # uids
        self.placements: dict[str, Placement] = {}
        self.refuse: EngineError | None = None
        self.late = False
        self.away: EngineError | None = None
        self.locked: dict[str, EngineError] = {}  #: name -> what each call on this one raises

    def create(self, workflow: dict[str, Any], config_text: str, placement: Placement) -> str:
        refuse, self.refuse = self.refuse, None
        if refuse is not None and not self.late:
            raise refuse
        name, labels = workflow["metadata"]["name"], workflow["metadata"]["labels"]
        if name in self.made:
            raise WorkflowExists(f"A workflow {name} exists already.")
        uid = f"uid-{len(self.created)}"
        self.created.append(name)
        self.placements[name], self.config_texts[name] = placement, config_text
        self.made[name] = WorkflowStatus(
            name,
            uid,
            labels[LABEL_JOB],
            int(labels[LABEL_ATTEMPT]),
            WorkflowPhase.PENDING,
            placement.node,
            placement.gpu_uuids if self.pins_gpus else (),
            engine=self.name,
            submission=json.loads(workflow["metadata"]["annotations"][ANNOTATION_SUBMISSION]),
        )
        if refuse is not None:
            raise refuse
        return uid

    def get(self, name: str) -> WorkflowStatus | None:
        if self.away is not None:
            raise self.away
        self._check_locked(name)
        return self.made.get(name)

    def workflows(self) -> list[WorkflowStatus]:
        if self.away is not None:
            raise self.away
        return list(self.made.values())

    def _check_locked(self, name: str) -> None:
        if name in self.locked:
            raise self.locked[name]

    def stop(self, workflow: WorkflowStatus) -> None:
        self._check_locked(workflow.name)
        self.stopped.append(workflow.name)

    def delete(self, workflow: WorkflowStatus) -> None:
        self._check_locked(workflow.name)
        present = self.made.get(workflow.name)
        if present is None or present.uid != workflow.uid:
            return
        self.deleted.append(workflow.name)
        self._leaving.add(workflow.uid)
        if not self.slow_to_delete:
            self.settle()

    def settle(self) -> None:
        """Let the deleted workflows be gone."""
        self.made = {
            name: each for name, each in self.made.items() if each.uid not in self._leaving
        }

    def clear(self, name: str, job_id: str) -> None:
        self._check_locked(name)
        self.cleared.append(name)

    def nodes_answering(self, nodes: Collection[str]) -> None:
        self.answering = frozenset(nodes)

    def config_text(self, workflow: WorkflowStatus) -> str | None:
        self._check_locked(workflow.name)
        return self.config_texts.get(workflow.name)

    def watch(self, on_change: Callable[[], None], stopping: threading.Event) -> None:
        stopping.wait()

    def set(self, name: str, **fields: Any) -> None:
        """Change the status of a workflow."""
        self.made[name] = replace(self.made[name], **fields)


class FakeAlerts:
    """This fake remembers the alerts that were sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, title: str, body: str) -> None:
        self.sent.append(title)

    def once(self, title: str, body: str) -> None:
        if title not in self.sent:
            self.send(title, body)


class FakeClock:
    """This clock advances only by `tick`."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds
