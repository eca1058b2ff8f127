"""The status that follows from a Workflow and from what was seen beside it."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.testbed.fakes import NOW
from scheduler.engines.argo.status.pending import needs_pod
from scheduler.engines.argo.status.sight import Sight
from scheduler.engines.argo.status.status import is_over, status_of
from scheduler.engines.contract import EndedBy, Obstacle, WorkflowPhase, WorkflowStatus
from tests.unit.scheduler.engines.argo_shapes import (
    BEGAN,
    ENDED,
    MADE,
    NAME,
    UID,
    make_node_status,
    make_pod,
    make_workflow,
    running,
    terminated,
    time_of,
    waiting,
)

LATER = NOW + 200


def see(workflow: dict[str, Any], now: float = LATER, **look: Any) -> WorkflowStatus:
    return status_of(workflow, Sight(**look), now)


def end(workflow: dict[str, Any], pod: dict[str, Any] | None, **look: Any) -> WorkflowStatus:
    return see(workflow, asked=True, pod=pod, **look)


def failed(
    message: str, exit_code: int | None = None, phase: str = "Failed", **spec: Any
) -> dict[str, Any]:
    node = {"phase": phase, "message": message, "exit_code": exit_code}
    return make_workflow(phase, node=node, message=message, spec=spec)


class TestIdentity:
    def test_the_fields_that_render_wrote_are_read(self) -> None:
        seen = see(make_workflow("Running"))
        assert (seen.name, seen.uid, seen.job_id, seen.attempt) == (
            NAME,
            UID,
            "ann_20261124120001",
            1,
        )
        assert seen.node == "gpu-1"  # where it has to go
        assert seen.submission is not None
        assert seen.submission["user"] == "ann"

    def test_without_its_labels_the_annotation_is_read(self) -> None:
        workflow = make_workflow("Running")
        del workflow["metadata"]["labels"]
        workflow["metadata"]["name"] += "-r3"
        seen = see(workflow)
        assert (seen.job_id, seen.attempt) == ("ann_20261124120001", 3)

    def test_an_unmanaged_workflow_has_no_job_id(self) -> None:
        workflow = make_workflow("Running")
        del workflow["metadata"]["labels"], workflow["metadata"]["annotations"]
        assert see(workflow).job_id == ""

    def test_an_unreadable_annotation_is_ignored(self) -> None:
        workflow = make_workflow("Running")
        workflow["metadata"]["annotations"] = {"gpuq/submission": "{"}
        assert (see(workflow).job_id, see(workflow).submission) == ("ann_20261124120001", None)


NOT_SCHEDULED = [
    ("1 Insufficient nvidia.com/gpu, 2 node(s) didn't match", Obstacle.NO_GPU),
    ("1 Insufficient memory", Obstacle.UNSCHEDULABLE),
    (
        "1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }",
        Obstacle.UNSCHEDULABLE,
    ),
    ("1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }", Obstacle.UNSCHEDULABLE),
]


class TestLive:
    def test_a_new_workflow_waits_for_the_controller(self) -> None:
        seen = see(make_workflow(), now=MADE + 5)
        assert (seen.phase, seen.obstacle) == (WorkflowPhase.PENDING, Obstacle.NONE)
        assert seen.message == "It waits for the Argo controller."

    def test_after_two_minutes_the_controller_counts_as_down(self) -> None:
        seen = see(make_workflow(), now=MADE + 121)
        assert (seen.phase, seen.obstacle) == (WorkflowPhase.PENDING, Obstacle.UNATTENDED)
        assert seen.message.startswith(
            "The Argo controller is not running: nothing has processed it for 121 s"
        )

    @pytest.mark.parametrize(
        ("said", "obstacle"),
        [
            *[
                (f"Unschedulable: 0/3 nodes are available: {why}.", obstacle)
                for why, obstacle in NOT_SCHEDULED
            ],
            ('Unschedulable: persistentvolumeclaim "gpuq-data" not found', Obstacle.NONE),
            (
                "Unschedulable: 0/1 nodes are available: pod has unbound immediate "
                "PersistentVolumeClaims.",
                Obstacle.NONE,
            ),
            ("ErrImagePull: failed to pull proto-gcn:latest", Obstacle.NONE),
            ('CreateContainerConfigError: configmap "x" not found', Obstacle.NONE),
        ],
    )
    def test_a_running_workflow_whose_pod_is_pending(self, said: str, obstacle: Obstacle) -> None:
        workflow = make_workflow(
            "Running", node={"phase": "Pending", "message": said, "host": None}
        )
        seen = see(workflow)
        assert (seen.phase, seen.started_at) == (WorkflowPhase.PENDING, None)
        assert (seen.message, seen.node) == (said, "gpu-1")
        assert seen.obstacle is obstacle
        assert not needs_pod(workflow)

    @pytest.mark.parametrize(
        "why", ["node(s) were unschedulable", "had taint {node.kubernetes.io/unschedulable: }"]
    )
    def test_a_cordoned_node_is_named_with_the_command_that_ends_it(self, why: str) -> None:
        said = f"Unschedulable: 0/1 nodes are available: 1 {why}."
        seen = see(
            make_workflow("Running", node={"phase": "Pending", "message": said, "host": None})
        )
        assert (
            seen.message == "gpu-1 is cordoned; to let it accept pods again: kubectl uncordon gpu-1"
        )
        assert seen.obstacle is Obstacle.UNSCHEDULABLE

    def test_a_running_workflow_without_a_pod(self) -> None:
        seen = see(make_workflow("Running"))
        assert (seen.phase, seen.message) == (WorkflowPhase.PENDING, "")

    def test_a_workflow_that_waits_in_argo(self) -> None:
        said = (
            "Workflow processing has been postponed because too many workflows are already running"
        )
        seen = see(make_workflow("Pending", message=said))
        assert (seen.phase, seen.message) == (WorkflowPhase.PENDING, said)

    @pytest.mark.parametrize("said", ["", "PodInitializing", "ContainerCreating"])
    def test_without_a_message_of_argo_the_pods_problem_is_shown(self, said: str) -> None:
        workflow = make_workflow("Running", node={"phase": "Pending", "message": said})
        assert needs_pod(workflow)
        pod = make_pod("Pending", waiting("PodInitializing"))
        pod["status"]["initContainerStatuses"] = [
            {"name": "init", "state": waiting("ImagePullBackOff", "argoexec")}
        ]
        assert see(workflow, pod=pod).message == "ImagePullBackOff: argoexec"

    def test_without_a_problem_of_the_pod_its_event_is_shown(self) -> None:
        workflow = make_workflow(
            "Running", node={"phase": "Pending", "message": "ContainerCreating"}
        )
        pod, event = (
            make_pod("Pending", waiting("ContainerCreating")),
            'FailedMount: configmap "x" not found',
        )
        assert see(workflow, pod=pod, event=event).message == event

    def test_a_folder_that_cannot_be_mounted_comes_with_the_command_that_creates_it(self) -> None:
        what = 'failed to prepare subPath for volumeMount "data" of container "main"'
        said = f"CreateContainerConfigError: {what}"
        seen = see(make_workflow("Running", node={"phase": "Pending", "message": said}))
        assert (
            seen.message
            == f"{said}; create the folder on the node: install -d -o 1000 -g 1000 /data/ann"
        )

    def test_a_running_workflow_has_its_pods_start_time(self) -> None:
        workflow = make_workflow("Running", node={"phase": "Running"})
        seen = see(workflow, pod=make_pod("Running", running()))
        assert (seen.phase, seen.started_at, seen.node) == (WorkflowPhase.RUNNING, BEGAN, "gpu-1")

    def test_without_a_pod_the_start_time_is_as_seen_earlier_or_argos(self) -> None:
        workflow = make_workflow("Running", node={"phase": "Running"})
        assert see(workflow, started_at=MADE + 40).started_at == MADE + 40
        assert see(workflow).started_at == MADE + 1

    def test_suspended_before_its_pod(self) -> None:
        seen = see(make_workflow("Running", spec={"suspend": True}))
        # no start deadline holds for it
        assert (seen.phase, seen.obstacle) == (WorkflowPhase.PENDING, Obstacle.UNATTENDED)
        assert seen.message == f"It is suspended; resume it with: argo resume {NAME}"

    def test_suspended_while_it_runs(self) -> None:
        seen = see(make_workflow("Running", node={"phase": "Running"}, spec={"suspend": True}))
        assert (seen.phase, seen.message) == (
            WorkflowPhase.RUNNING,
            "It is suspended; its container continues to run.",
        )

    def test_on_a_lost_node(self) -> None:
        seen = see(make_workflow("Running", node={"phase": "Running"}), node_lost=True)
        assert (seen.phase, seen.obstacle) == (WorkflowPhase.RUNNING, Obstacle.NODE_LOST)
        assert seen.message == "The node gpu-1 is not responding"

    def test_the_newest_pod_of_a_template_that_retries(self) -> None:
        workflow = make_workflow(
            "Running", node={"phase": "Failed", "message": "main: Error (exit code 1)"}
        )
        retried = make_node_status("Running", host="gpu-2") | {"startedAt": time_of(MADE + 60)}
        workflow["status"]["nodes"] |= {
            "second": retried,
            "top": {"type": "Retry", "phase": "Running"},
        }
        assert (see(workflow).phase, see(workflow).node) == (WorkflowPhase.RUNNING, "gpu-2")


class TestEnded:
    def test_succeeded(self) -> None:
        workflow = make_workflow("Succeeded", node={"phase": "Succeeded", "exit_code": 0})
        seen = end(workflow, make_pod("Succeeded", terminated(0)), log_tail=("done",))
        assert (seen.phase, seen.exit_code, seen.ended_by) == (
            WorkflowPhase.SUCCEEDED,
            0,
            EndedBy.ITSELF,
        )
        assert (seen.started_at, seen.finished_at, seen.log_tail) == (BEGAN, ENDED, ("done",))

    @pytest.mark.parametrize(
        ("said", "code", "pod", "by"),
        [
            ("main: Error (exit code 1)", 1, make_pod("Failed", terminated(1)), EndedBy.ITSELF),
            ("main: Error (exit code 75)", 75, make_pod("Failed", terminated(75)), EndedBy.ITSELF),
            (
                "main: OOMKilled (exit code 137)",
                137,
                make_pod("Failed", terminated(137, "OOMKilled")),
                EndedBy.ITSELF,
            ),
            # SIGKILL by nobody who says so: a failure of its own
            (
                "main: Error (exit code 137)",
                137,
                make_pod("Failed", terminated(137)),
                EndedBy.ITSELF,
            ),
            (
                "Pod was active on the node longer than the specified deadline",
                143,
                make_pod("Failed", terminated(143), reason="DeadlineExceeded"),
                EndedBy.TIME_LIMIT,
            ),
            (
                "Pod was active on the node longer than the specified deadline",
                143,
                None,
                EndedBy.TIME_LIMIT,
            ),
            (
                "The node was low on resource: memory. Threshold quantity: 100Mi",
                137,
                make_pod("Failed", terminated(137), reason="Evicted"),
                EndedBy.EVICTION,
            ),
            ("The node was low on resource: memory.", None, None, EndedBy.EVICTION),
            (
                "Preempted in order to admit critical pod",
                None,
                make_pod("Failed", reason="Preempting"),
                EndedBy.EVICTION,
            ),
            (
                "Pod was terminated in response to imminent node shutdown.",
                143,
                make_pod("Failed", terminated(143), reason="Terminated"),
                EndedBy.EVICTION,
            ),
            (
                "main: Error (exit code 143)",  # drained, and still there
                143,
                make_pod(
                    "Failed",
                    terminated(143),
                    conditions=[{"type": "DisruptionTarget", "status": "True"}],
                ),
                EndedBy.EVICTION,
            ),
            ("main: Error (exit code 137)", 137, None, EndedBy.EVICTION),  # its pod was deleted
            (
                "Pod was rejected: Allocate failed due to requested number of devices unavailable "
                "for nvidia.com/gpu",
                None,
                make_pod("Failed", reason="UnexpectedAdmissionError"),
                EndedBy.EVICTION,
            ),
            # taken away while it was failing by itself: its own word counts
            (
                "main: Error (exit code 2)",
                2,
                make_pod(
                    "Failed",
                    terminated(2),
                    conditions=[{"type": "DisruptionTarget", "status": "True"}],
                ),
                EndedBy.ITSELF,
            ),
        ],
    )
    def test_who_ended_a_workflow(
        self, said: str, code: int | None, pod: dict[str, Any] | None, by: EndedBy
    ) -> None:
        seen = end(failed(said, code), pod)
        assert (seen.phase, seen.ended_by, seen.exit_code) == (WorkflowPhase.FAILED, by, code)

    def test_a_deleted_pod(self) -> None:
        seen = end(failed("pod deleted", phase="Error"), None)
        assert (seen.phase, seen.ended_by) == (WorkflowPhase.FAILED, EndedBy.EVICTION)
        assert seen.message == "Its pod was removed from gpu-1: pod deleted"
        assert seen.started_at == MADE + 1  # it may have run

    def test_out_of_memory_names_the_limit(self) -> None:
        seen = end(
            failed("main: OOMKilled (exit code 137)", 137),
            make_pod("Failed", terminated(137, "OOMKilled")),
        )
        assert seen.message == "Its container used more memory than its limit of 16Gi (OOMKilled)"

    def test_a_spec_that_argo_rejects_fails_without_an_exit_code(self) -> None:
        seen = end(make_workflow("Error", message="invalid spec: templates.train: unknown"), None)
        assert (seen.phase, seen.ended_by, seen.exit_code) == (
            WorkflowPhase.FAILED,
            EndedBy.ITSELF,
            None,
        )
        assert seen.message == "invalid spec: templates.train: unknown"
        assert seen.started_at is None

    def test_an_exit_code_0_counts_more_than_argos_error(self) -> None:
        workflow = failed("wait: Error (exit code 64)", 0, phase="Error")
        seen = end(workflow, make_pod("Failed", terminated(0)))
        assert (seen.phase, seen.exit_code) == (WorkflowPhase.SUCCEEDED, 0)

    def test_without_a_check_of_its_pod_argos_times_count(self) -> None:
        seen = see(make_workflow("Succeeded", node={"phase": "Succeeded", "exit_code": 0}))
        assert (seen.phase, seen.finished_at) == (WorkflowPhase.SUCCEEDED, ENDED + 2)


class TestStopped:
    STOPPED = "workflow shutdown with strategy:  Stop"

    def stopped(self, **fields: Any) -> dict[str, Any]:
        node = {"phase": "Failed", "message": self.STOPPED, **fields}
        return make_workflow(
            "Failed", node=node, message="Stopped with strategy 'Stop'", spec={"shutdown": "Stop"}
        )

    def test_a_stopped_workflow_runs_as_long_as_its_container(self) -> None:
        workflow, pod = self.stopped(), make_pod("Running", running())
        assert not is_over(workflow, Sight(asked=True, pod=pod))
        seen = end(workflow, pod)
        assert (seen.phase, seen.started_at) == (WorkflowPhase.RUNNING, BEGAN)
        assert seen.message == "It is being stopped; its container has not ended yet."

    def test_a_stopped_workflow_has_ended_with_its_container(self) -> None:
        seen = end(self.stopped(), make_pod("Running", terminated(143)))
        assert (seen.phase, seen.ended_by, seen.exit_code) == (
            WorkflowPhase.FAILED,
            EndedBy.STOP,
            143,
        )

    def test_a_stopped_workflow_whose_pod_never_started(self) -> None:
        seen = end(self.stopped(host=None), make_pod("Pending", waiting("ContainerCreating")))
        assert seen.phase is WorkflowPhase.PENDING
        seen = end(self.stopped(host=None), None)
        assert (seen.phase, seen.ended_by, seen.started_at) == (
            WorkflowPhase.FAILED,
            EndedBy.STOP,
            None,
        )

    def test_a_success_before_the_stop_is_a_success(self) -> None:
        seen = end(self.stopped(), make_pod("Succeeded", terminated(0)))
        assert (seen.phase, seen.exit_code) == (WorkflowPhase.SUCCEEDED, 0)

    def test_a_failure_before_the_stop_is_a_failure(self) -> None:
        node = {"phase": "Failed", "message": "main: Error (exit code 1)", "exit_code": 1}
        workflow = make_workflow(
            "Failed", node=node, message="Stopped with strategy 'Stop'", spec={"shutdown": "Stop"}
        )
        assert end(workflow, make_pod("Failed", terminated(1))).ended_by is EndedBy.ITSELF

    def test_an_exit_by_sigterm_is_a_stop_if_one_was_requested(self) -> None:
        node = {"phase": "Failed", "message": "main: Error (exit code 143)", "exit_code": 143}
        workflow = make_workflow("Failed", node=node, spec={"shutdown": "Terminate"})
        assert end(workflow, make_pod("Failed", terminated(143))).ended_by is EndedBy.STOP


class TestVanished:
    @pytest.mark.parametrize(
        ("code", "reason"), [(255, "Unknown"), (137, "ContainerStatusUnknown")]
    )
    def test_a_container_that_the_runtime_has_lost_is_evicted(self, code: int, reason: str) -> None:
        ended = terminated(code, reason=reason)
        for pod in (make_pod("Failed", ended), None):
            seen = end(failed(f"main: {reason} (exit code {code})", code), pod)
            assert (seen.phase, seen.ended_by) == (WorkflowPhase.FAILED, EndedBy.EVICTION)

    def test_an_exit_code_255_of_its_own_is_a_failure(self) -> None:
        seen = end(failed("main: Error (exit code 255)", 255), make_pod("Failed", terminated(255)))
        assert seen.ended_by is EndedBy.ITSELF


class TestLostNode:
    def test_a_workflow_whose_pod_is_gone_from_a_lost_node_may_run(self) -> None:
        seen = end(failed("pod deleted", phase="Error"), None, node_lost=True)
        assert (seen.phase, seen.obstacle, seen.node) == (
            WorkflowPhase.RUNNING,
            Obstacle.NODE_LOST,
            "gpu-1",
        )
        assert seen.message == "The node gpu-1 is not responding, and its pod cannot be inspected"

    def test_once_the_node_is_back_it_has_failed(self) -> None:
        assert end(failed("pod deleted", phase="Error"), None).phase is WorkflowPhase.FAILED

    def test_an_exit_code_that_argo_has_is_an_end_on_a_lost_node_too(self) -> None:
        seen = end(failed("main: Error (exit code 1)", 1), None, node_lost=True)
        assert (seen.phase, seen.obstacle) == (WorkflowPhase.FAILED, Obstacle.NONE)

    def test_a_pod_that_failed_only_because_of_its_lost_node_may_run(self) -> None:
        pod = make_pod("Failed", running(), reason="NodeLost")
        seen = end(
            failed("pod failed: neither main nor wait container completed successfully"),
            pod,
            node_lost=True,
        )
        assert (seen.phase, seen.obstacle) == (WorkflowPhase.RUNNING, Obstacle.NODE_LOST)

    def test_a_stopped_workflow_on_a_lost_node_may_run(self) -> None:
        workflow = failed("workflow shutdown with strategy:  Stop", shutdown="Stop")
        seen = end(workflow, make_pod("Running", running()), node_lost=True)
        assert (seen.phase, seen.obstacle) == (WorkflowPhase.RUNNING, Obstacle.NODE_LOST)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
_PATHS = [
    ("metadata", "labels"),
    ("metadata", "annotations"),
    ("metadata", "creationTimestamp"),
    ("spec",),
    ("spec", "affinity"),
    ("spec", "templates"),
    ("spec", "shutdown"),
    ("status", "nodes"),
    ("status", "nodes", NAME),
    ("status", "nodes", NAME, "message"),
    ("status", "nodes", NAME, "outputs"),
    ("status", "nodes", NAME, "startedAt"),
    ("status", "message"),
]


@given(
    st.sampled_from(_PATHS),
    _ANYTHING,
    st.sampled_from(["Running", "Failed", "Error"]),
    st.booleans(),
)
def test_no_manual_edit_raises(path: tuple[str, ...], value: Any, phase: str, asked: bool) -> None:
    workflow = deepcopy(make_workflow(phase, node={"phase": phase, "message": "x"}))
    place = workflow
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert status_of(workflow, Sight(asked=asked), LATER).name == NAME
