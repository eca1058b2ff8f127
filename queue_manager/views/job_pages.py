"""Pages over all jobs: what runs, what is queued, what is finished; or one user's, the newest first."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jobqueue.job import Job
from jobqueue.phase import FINISHED, Phase
from jobqueue.store.client import Store

#: (start, count) -> job ids
Section = Callable[[int, int], list[str]]
_PAGE = 200
#: A page that filters much ends here with fewer jobs and a cursor, instead of reading everything.
_MOST_READ = 2000


@dataclass(frozen=True)
class Place:
    """Where a page ended: in which section, and behind how many of its jobs."""

    section: int = 0
    offset: int = 0

    @classmethod
    def read(cls, text: str) -> "Place":
        """The inverse of `str`; raises ValueError."""
        section, _, offset = text.partition(":")
        place = cls(int(section), int(offset))
        if min(place.section, place.offset) < 0 or place.offset > 2**53:
            raise ValueError(text)
        return place

    def __str__(self) -> str:
        return f"{self.section}:{self.offset}"


def sections(store: Store, user: str | None, status: Phase | None) -> list[Section]:
    """The lists that hold the jobs asked for, in the order in which they are shown."""
    if user is not None:
        return [lambda start, count: store.user_jobs(user, start, count)]

    def running(start: int, count: int) -> list[str]:
        return [job.job_id for job in store.running()][start : start + count]

    every = [
        ({Phase.ADMITTED, Phase.RUNNING}, running),
        ({Phase.QUEUED}, store.order),
        (FINISHED, store.finished),
    ]
    return [section for phases, section in every if status is None or status in phases]


def page(
    store: Store, lists: Sequence[Section], wanted: Callable[[Job], bool], start: Place, limit: int
) -> tuple[list[Job], Place | None]:
    """Up to `limit` wanted jobs from `start` on, and where to go on (None: that was all)."""
    found: list[Job] = []
    for read, (place, job) in enumerate(_walk(store, lists, start)):
        if len(found) == limit or read == _MOST_READ:
            return found, place
        if job is not None and wanted(job):
            found.append(job)
    return found, None


def _walk(
    store: Store, lists: Sequence[Section], start: Place
) -> Iterator[tuple[Place, Job | None]]:
    """Every place from `start` on, with the record that stands there where it can be read."""
    for number in range(start.section, len(lists)):
        offset = start.offset if number == start.section else 0
        while ids := lists[number](offset, _PAGE):
            records = {job.job_id: job for job in store.jobs(ids)}
            for index, job_id in enumerate(ids):
                yield Place(number, offset + index), records.get(job_id)
            offset += len(ids)
