"""Progress with time left: one rewritten line on a terminal, a plain log elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO


def clock(seconds: float) -> str:
    """``h:mm:ss`` or ``m:ss``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Count ``total`` units of work, printing at most every ``every`` seconds off a terminal."""

    def __init__(
        self,
        label: str,
        total: float,
        *,
        done: float = 0,
        every: float = 20.0,
        stream: TextIO | None = None,
    ) -> None:
        self.label, self.total, self.done, self.first = label, total, done, done
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.every = 0.2 if self.live else every
        self.start = time.monotonic()
        self.printed = float("-inf")

    def update(self, amount: float = 1, note: str = "") -> None:
        """Record finished work and print if it is time."""
        self.done += amount
        now = time.monotonic()
        if now - self.printed < self.every and self.done < self.total:
            return
        self.printed = now
        elapsed = now - self.start
        left = elapsed / max(self.done - self.first, 1e-9) * (self.total - self.done)
        line = (
            f"{self.label}: {self.done:.0f}/{self.total:.0f}, {clock(elapsed)} elapsed, "
            f"{clock(left)} left{f', {note}' if note else ''}"
        )
        end = "\n" if not self.live or self.done >= self.total else ""
        self.stream.write(f"\r\x1b[K{line}{end}" if self.live else f"{line}\n")
        self.stream.flush()
