"""Read files that grow: their last lines, whole lines only, or everything until the job ends."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, BinaryIO

from queue_manager.http.problems import RETRY_SOON_S, Problem

CHUNK_BYTES = 64 * 1024
PAUSE_S = 0.25


class FollowerLimit:
    """Limits how many requests follow a log or wait for a change: each of them holds a thread."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.BoundedSemaphore(count)

    def acquire(self) -> bool:
        """Take a place; False if all are taken. `release` returns it."""
        return self._free.acquire(blocking=False)

    def acquire_or_refuse(self) -> None:
        """Take a place; raises Problem 503 if all are taken."""
        if not self.acquire():
            detail = (
                f"Limit of {self.count} open ?follow/?wait requests reached; "
                "retry later or omit the parameter."
            )
            headers = {"Retry-After": str(RETRY_SOON_S)}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=headers)

    def release(self) -> None:
        """Return a place."""
        self._free.release()


def has_disconnected(environ: Mapping[str, Any]) -> bool:
    """Tell whether the client closed the connection; writing nothing would never show that."""
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def follow(
    open_file: Callable[[], BinaryIO | None],
    start: int,
    is_over: Callable[[], bool],
    pause: Callable[[], None],
) -> Iterator[bytes]:
    """Yield what is written to a file from byte `start` on, until `is_over`.

    `open_file` returns None until the file exists. The first chunk is empty, so that the client
    gets the headers before anything has been written.
    """
    yield b""
    file: BinaryIO | None = None
    try:
        while True:
            over = is_over()  # asked before reading, so that the last lines are still read
            if file is None and (file := open_file()):
                file.seek(start)
            if file is not None:
                yield from chunks(file)
            if over:
                return
            pause()
    finally:
        if file is not None:
            file.close()


def chunks(file: BinaryIO, up_to: int | None = None) -> Iterator[bytes]:
    """Yield the file from its current position to its end, or to the byte `up_to`."""
    while chunk := file.read(
        CHUNK_BYTES if up_to is None else max(0, min(CHUNK_BYTES, up_to - file.tell()))
    ):
        yield chunk


def whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes, cut at line ends; a last line without an end is still being written."""
    rest = b""
    for piece in pieces:
        lines, end, rest = (rest + piece).rpartition(b"\n")
        yield lines + end


def tail_start(file: BinaryIO, lines: int) -> int:
    """Return the byte at which the last `lines` lines begin."""
    end = file.seek(0, os.SEEK_END)
    wanted = lines + (_ends_with_newline(file, end))
    for start, block in _backwards(file, end):
        found = block.count(b"\n")
        if found >= wanted:
            return start + _nth_last(block, wanted) + 1 if wanted else end
        wanted -= found
    return 0


def whole_end(file: BinaryIO) -> int:
    """Return the byte after the last line end."""
    for start, block in _backwards(file, file.seek(0, os.SEEK_END)):
        if (place := block.rfind(b"\n")) >= 0:
            return start + place + 1
    return 0


def _backwards(file: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    while end > 0:
        start = max(0, end - CHUNK_BYTES)
        file.seek(start)
        yield start, file.read(end - start)
        end = start


def _nth_last(block: bytes, count: int) -> int:
    place = len(block)
    for _ in range(count):
        place = block.rfind(b"\n", 0, place)
    return place


def _ends_with_newline(file: BinaryIO, end: int) -> bool:
    file.seek(max(0, end - 1))
    return file.read(1) == b"\n"
