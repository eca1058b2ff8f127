"""The files that a training writes into its run folder, for as long as they are there."""

from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from jobqueue.job import Job
from queue_manager.files.disk import LeadsOut, on_disk, open_inside, stays_inside
from queue_manager.http.problems import Problem
from queue_manager.submission.text_rules import DATA

LOG = "train.log"
METRICS = "metrics.jsonl"
REPORT = "report.html"
#: The best one exists from the first evaluation on.
_CHECKPOINTS = ("checkpoints/best.pth", "checkpoints/latest.pth")


def open_run_file(job: Job, name: str, data_root: Path) -> BinaryIO | None:
    """The file `name` of the job's run folder, None while it is not there. Raises Problem where it must not be read.

    The user of the job owns the folder, so links in it are hers: none may lead out of the workdir, nor it out of /data.
    """
    workdir = on_disk(job.spec.workdir, data_root)
    try:
        if not stays_inside(workdir, data_root):
            raise LeadsOut(str(workdir))
        return open_inside(on_disk(f"{job.run_folder}/{name}", data_root), workdir)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except LeadsOut:
        detail = f"{job.run_folder}/{name} leads out of the job's workdir by a symbolic link, so it is not read."
        raise Problem(HTTPStatus.FORBIDDEN, detail) from None
    except OSError as error:
        detail = f"{job.run_folder}/{name} cannot be read ({error.strerror or 'it is no file'})."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error


def result_paths(job: Job, data_root: Path) -> dict[str, str]:
    """Where the result of a job that succeeded lies, as people write it (/data/…); a report only where there is one."""
    present = [
        name for name in _CHECKPOINTS if _is_file(on_disk(f"{job.run_folder}/{name}", data_root))
    ]
    paths = {"checkpoint": (present or _CHECKPOINTS)[0], "log": LOG, "metrics": METRICS}
    if _is_file(on_disk(f"{job.run_folder}/{REPORT}", data_root)):
        paths["report"] = REPORT
    return {what: f"{job.run_folder}/{name}" for what, name in paths.items()}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that we may not look into
        return False


def workdir_leads_out(workdir: str, user: str, data_root: Path) -> bool:
    """Whether a symbolic link that exists already takes the workdir out of /data, or out of /data/<user> below which
    it is written."""
    home = f"{DATA}/{user}"
    base = on_disk(home if f"{workdir}/".startswith(f"{home}/") else DATA, data_root)
    place = on_disk(workdir, data_root)
    return not (stays_inside(base, data_root) and (place == base or stays_inside(place, base)))
