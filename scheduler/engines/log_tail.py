"""This module cuts a job's log to its last lines, which are kept in its record."""

LOG_TAIL_LINES = 20
LOG_TAIL_BYTES = 8192


def last_lines(text: str) -> tuple[str, ...]:
    """Return the last lines of the last LOG_TAIL_BYTES characters, without blank ones."""
    lines = text[-LOG_TAIL_BYTES:].splitlines()[-LOG_TAIL_LINES:]
    return tuple(line for line in lines if line.strip())
