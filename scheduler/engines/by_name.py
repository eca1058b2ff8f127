"""This module finds the engine of a job or of a workflow by its name."""

import threading
from collections.abc import Callable, Collection, Sequence

from jobqueue.job import Job
from scheduler.engines.contract import Engine, EngineUnavailable, WorkflowStatus


class Engines:
    """Several engines are used through one object. The first runs all jobs that name no other."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._by_name = {engine.name: engine for engine in engines}
        self.default = engines[0]

    def of_job(self, job: Job) -> Engine:
        """Return the engine that the job's record names; records of one-engine versions name none.

        Raises EngineUnavailable if this scheduler does not have that engine.
        """
        return self._named(job.engine) if job.engine else self.default

    def of(self, workflow: WorkflowStatus) -> Engine:
        """Return the engine that reported the workflow."""
        return self._named(workflow.engine) if workflow.engine else self.default

    def workflows(self) -> list[WorkflowStatus]:
        """Return the workflows of all engines; raises if any of them does not answer.

        A partial list would make jobs of the silent engine look as if their workflows were gone.
        """
        return [workflow for engine in self._by_name.values() for workflow in engine.workflows()]

    def nodes_answering(self, nodes: Collection[str]) -> None:
        """Pass the hint on to every engine."""
        for engine in self._by_name.values():
            engine.nodes_answering(nodes)

    def keep_alive_with(self, keep_alive: Callable[[], None]) -> None:
        """Let every engine call `keep_alive` between the steps of a long call."""
        for engine in self._by_name.values():
            engine.keep_alive = keep_alive

    def watches(self) -> list[Callable[[Callable[[], None], threading.Event], None]]:
        """Return the `watch` of every engine."""
        return [engine.watch for engine in self._by_name.values()]

    def _named(self, name: str) -> Engine:
        try:
            return self._by_name[name]
        except KeyError as error:
            have = ", ".join(self._by_name)
            raise EngineUnavailable(
                f"This scheduler has no engine {name} (it has: {have}); start it with "
                f"ENGINE={name}."
            ) from error
