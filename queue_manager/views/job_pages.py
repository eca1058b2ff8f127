"""Pages over all jobs (running, queued, finished), or over one user's jobs, newest first."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jobqueue.job import Job
from jobqueue.phase import FINISHED, Phase
from jobqueue.store.client import Store

#: (start, count) -> job ids
Section = Callable[[int, int], list[str]]
_READ_AT_ONCE = 200
#: A page whose filter matches few jobs ends here with a cursor, instead of reading everything.
_MOST_READ = 2000


@dataclass(frozen=True)
class PageStart:
    """The start of a page: a section, and a number of its jobs that are skipped."""

    section: int = 0
    offset: int = 0

    @classmethod
    def read(cls, text: str) -> "PageStart":
        """Read what `str` wrote; raises ValueError."""
        section, _, offset = text.partition(":")
        start = cls(int(section), int(offset))
        if min(start.section, start.offset) < 0 or start.offset > 2**53:
            raise ValueError(text)
        return start

    def __str__(self) -> str:
        return f"{self.section}:{self.offset}"


def sections(store: Store, user: str | None, status: Phase | None) -> list[Section]:
    """Return the lists that hold the requested jobs, in the order in which they are shown."""
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


def read_page(
    store: Store,
    lists: Sequence[Section],
    wanted: Callable[[Job], bool],
    start: PageStart,
    limit: int,
) -> tuple[list[Job], PageStart | None]:
    """Return up to `limit` wanted jobs from `start` on, and where the next page begins.

    The second part is None on the last page.
    """
    found: list[Job] = []
    for read, (here, job) in enumerate(_walk(store, lists, start)):
        if len(found) == limit or read == _MOST_READ:
            return found, here
        if job is not None and wanted(job):
            found.append(job)
    return found, None


def _walk(
    store: Store, lists: Sequence[Section], start: PageStart
) -> Iterator[tuple[PageStart, Job | None]]:
    """Yield every position from `start` on with its record, or None if that cannot be read."""
    for number in range(start.section, len(lists)):
        offset = start.offset if number == start.section else 0
        while ids := lists[number](offset, _READ_AT_ONCE):
            records = {job.job_id: job for job in store.jobs(ids)}
            for index, job_id in enumerate(ids):
                yield PageStart(number, offset + index), records.get(job_id)
            offset += len(ids)
