"""Find and open the files that a training writes into its run folder."""

from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from jobqueue.job import Job
from queue_manager.files.disk import DATA, LeadsOut, on_disk, open_inside, stays_inside
from queue_manager.http.problems import Problem

LOG = "train.log"
METRICS = "metrics.jsonl"
REPORT = "report.html"
#: The best checkpoint exists from the first evaluation on; before that there is the latest one.
_CHECKPOINTS = ("checkpoints/best.pth", "checkpoints/latest.pth")


def open_run_file(job: Job, name: str, data_root: Path) -> BinaryIO | None:
    """Open the file `name` of the job's run folder; None if it does not exist (yet).

    The job's user owns the folder and may put links into it: none may lead out of the workdir, and
    the workdir may not lead out of /data. Raises Problem if the file must not or cannot be read.
    """
    workdir = on_disk(job.spec.workdir, data_root)
    path = f"{job.run_folder}/{name}"
    try:
        if not stays_inside(workdir, data_root):
            raise LeadsOut(str(workdir))
        return open_inside(on_disk(path, data_root), workdir)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except LeadsOut:
        detail = f"{path} is not read, because a symbolic link leads out of the job's workdir."
        raise Problem(HTTPStatus.FORBIDDEN, detail) from None
    except OSError as error:
        why = error.strerror or "it is not a regular file"
        detail = f"{path} cannot be read ({why})."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error


def result_paths(job: Job, data_root: Path) -> dict[str, str]:
    """Return the result files of a succeeded job, as people write them (/data/…), by name.

    The report is named only if it exists.
    """
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
    except OSError:  # a folder that we may not read
        return False


def workdir_leads_out(workdir: str, user: str, data_root: Path) -> bool:
    """Tell whether existing symbolic links take the workdir out of the folder it is written below.

    That folder is /data/<user>, or /data for a workdir elsewhere.
    """
    home = f"{DATA}/{user}"
    base = on_disk(home if f"{workdir}/".startswith(f"{home}/") else DATA, data_root)
    place = on_disk(workdir, data_root)
    return not (stays_inside(base, data_root) and (place == base or stays_inside(place, base)))
