"""The last lines of a training, from a log that Argo's wrapper writes to as well."""

import pytest

from scheduler.engines.argo.pods import tail
from scheduler.engines.log_tail import LOG_TAIL_LINES

REFUSED = "cannot create /data/carl/runs/carl_1: Permission denied"
#: Argo 4.1.2, its JSON log format, and 3.6.
WRAPPERS = {
    "4.1": (
        'time=2026-11-25T04:29:39.970Z level=INFO msg="waiting for signals" argo=true\n',
        'time=2026-11-25T04:29:43.985Z level=INFO msg="sub-process exited" argo=true '
        'error="exit status 2"\n'
        'time=2026-11-25T04:29:43.985Z level=INFO msg="file signal handler exiting" error="" '
        "argo=true\n"
        "Error: exit status 2\n",
    ),
    "4.1 json": (
        '{"time":"2026-11-25T04:29:39Z","level":"INFO","msg":"waiting for signals","argo":true}\n',
        '{"time":"2026-11-25T04:29:43Z","level":"INFO","msg":"sub-process exited","argo":true,'
        '"error":"x"}\n'
        "Error: exit status 2\n",
    ),
    "3.6": (
        'time="2026-11-25T04:29:39.970Z" level=info msg="capturing logs" argo=true\n',
        'time="2026-11-25T04:29:43.985Z" level=info msg="sub-process exited" argo=true '
        'error="<nil>"\n'
        "Error: exit status 2\n",
    ),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_argos_lines_are_removed(wrapper: str) -> None:
    before, after = WRAPPERS[wrapper]
    assert tail(f"{before}epoch 1/2\n\n{REFUSED}\n{after}") == ("epoch 1/2", REFUSED)


@pytest.mark.parametrize(
    "line",
    [
        "Error: exit status 2",
        "sub-process exited",
        "argo=true",
        "time=3s",
        '{"epoch": 1, "argo": false}',
    ],
)
def test_a_trainings_own_line_stays(line: str) -> None:
    before, after = WRAPPERS["4.1"]
    assert tail(f"{before}{line}\n{REFUSED}\n{after}") == (line, REFUSED)


def test_the_number_of_lines_does_not_depend_on_argos() -> None:
    before, after = WRAPPERS["4.1"]
    lines = [f"line {number}" for number in range(LOG_TAIL_LINES + 1)]
    assert tail(before + "\n".join(lines) + "\n" + after) == tuple(lines[1:])
