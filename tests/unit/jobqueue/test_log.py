"""The log's lines, in a process of its own: what is set up there holds for the whole process."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import logging
from jobqueue.service.log import bind_log, configure_logging, get_logger
configure_logging("tester", {level!r})
log = get_logger("somebody")
log.info("A line.", job_id="ann_1")
logging.getLogger("a.library").warning("Of %s.", "a library")
bind_log(service="tester", request_id="r1")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("It broke.")
"""


def lines_of(level: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(level=level)],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_line_is_a_json_object_also_from_other_libraries() -> None:
    ours, theirs, broke = lines_of("INFO")
    assert (ours["event"], ours["level"], ours["service"], ours["job_id"]) == (
        "A line.",
        "info",
        "tester",
        "ann_1",
    )
    assert (theirs["event"], theirs["level"], theirs["service"]) == (
        "Of a library.",
        "warning",
        "tester",
    )
    assert (broke["event"], broke["level"], broke["request_id"]) == ("It broke.", "error", "r1")
    assert "ZeroDivisionError" in broke["exception"]
    assert all(line["at"].endswith("Z") for line in (ours, theirs, broke))


def test_the_level_holds_for_all() -> None:
    assert [line["event"] for line in lines_of("WARNING")] == ["Of a library.", "It broke."]


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    script = SCRIPT.format(level="INFO") + "\nraise SystemExit(7)"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode in (7, 120)  # 120: Python itself, which cannot flush at its end
    assert b'Traceback (most recent call last):\n  File "<string>"' not in done.stderr
