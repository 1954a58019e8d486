"""A limit to how long a block may run, whatever it is doing."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
from collections.abc import Iterator

AGAIN = 1.0  # seconds between alarms: one that somebody's `except` swallows is not the last
GRACE = 60.0  # seconds after which a call that never comes back to Python ends the process


class TimeLimit(Exception):
    """The message is the cell's status."""


@contextlib.contextmanager
def time_limit(limit: float | None, spent: float = 0.0) -> Iterator[None]:
    """Raise TimeLimit in the block once ``limit`` seconds are over, ``spent`` of them before it.

    Python runs the alarm between two of its own instructions, so sleeping, waiting and computing
    are interrupted, but not a native call that hangs. That ends the process, with every thread's
    traceback on stderr: the job fails, and nothing that was finished is lost. Main thread only.
    """
    if limit is None:
        yield
        return
    left = limit - spent
    reached = TimeLimit(f"time limit: more than {limit:g} s")
    if left <= 0:
        raise reached
    armed = True

    def alarm(number: int, frame: object) -> None:
        if armed:
            raise reached

    before = signal.signal(signal.SIGALRM, alarm)
    others = signal.setitimer(signal.ITIMER_REAL, left, AGAIN)
    if sys.__stderr__ is not None:
        faulthandler.dump_traceback_later(left + GRACE, exit=True, file=sys.__stderr__)
    try:
        try:
            yield
        finally:
            armed = False  # an alarm that comes from here on is too late to matter
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *others)
