"""What a piece of work costs: seconds, network evaluations, peak memory and energy."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.atomic import digest
from experiments.time_limit import time_limit

MB = 2**20


@dataclass
class Cost:
    """Adds up along the steps of one cell. ``Cost()`` is no work; None is what was not measured."""

    seconds: float = 0.0
    evaluations: int = 0  # samples through the network
    peak_memory_mb: float = 0.0  # of the process on a CPU, of its tensors on a GPU
    peak_reserved_mb: float | None = None  # held by a GPU's allocator; None on a CPU
    energy_j: float | None = None  # of a GPU that nobody else uses

    def __add__(self, other: Cost) -> Cost:
        nothing = Cost()
        if nothing in (self, other):
            return replace(other if self == nothing else self)
        return Cost(
            self.seconds + other.seconds,
            self.evaluations + other.evaluations,
            max(self.peak_memory_mb, other.peak_memory_mb),
            _unless_unknown(max, self.peak_reserved_mb, other.peak_reserved_mb),
            _unless_unknown(lambda a, b: a + b, self.energy_j, other.energy_j),
        )

    def __sub__(self, earlier: Cost) -> Cost:
        """What came between two readings of :meth:`Meter.now`."""
        return Cost(
            self.seconds - earlier.seconds,
            self.evaluations - earlier.evaluations,
            energy_j=_unless_unknown(lambda a, b: a - b, self.energy_j, earlier.energy_j),
        )


def _unless_unknown(
    combine: Callable[[float, float], float], a: float | None, b: float | None
) -> float | None:
    return None if a is None or b is None else combine(a, b)


class Meter:
    """Measures blocks of work on a device; ``backbone`` counts its own evaluations.

    ``energy`` reads the joules that the device has used so far, None where it cannot tell. A cell
    may take ``limit`` seconds.
    """

    def __init__(
        self,
        device: str = "cpu",
        energy: Callable[[], float | None] = lambda: None,
        limit: float | None = None,
    ) -> None:
        self.device, self.energy, self.limit = device, energy, limit
        self.backbone: Any = None

    @contextlib.contextmanager
    def measure(self, spent: float = 0.0) -> Iterator[Cost]:
        """Fill in a cost when the block ends well.

        Raises TimeLimit in the block once it has used up what the cell, which has ``spent`` some
        seconds before, may take.
        """
        cost = Cost()
        self._reset_peak()
        evaluations, joules, start = self._evaluations(), self.energy(), time.perf_counter()
        with time_limit(self.limit, spent):
            yield cost
            self._wait()
        cost.seconds = time.perf_counter() - start
        cost.energy_j = _unless_unknown(lambda a, b: b - a, joules, self.energy())
        cost.evaluations = self._evaluations() - evaluations
        cost.peak_memory_mb, cost.peak_reserved_mb = self._peaks()

    def forget_cache(self) -> None:
        """Free what the allocator keeps, so that what is reserved next is reserved for a reason."""
        if self.device != "cpu":
            import torch

            torch.cuda.empty_cache()

    def now(self) -> Cost:
        """Clock, network evaluations and joules so far: two readings tell what came between."""
        self._wait()
        return Cost(time.perf_counter(), self._evaluations(), energy_j=self.energy())

    def _evaluations(self) -> int:
        return getattr(self.backbone, "evaluations", 0)

    def _wait(self) -> None:
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize()

    def _reset_peak(self) -> None:
        if self.device != "cpu":
            import torch

            self._wait()
            torch.cuda.reset_peak_memory_stats()
            return
        with contextlib.suppress(OSError):  # Linux alone can start the peak anew
            Path("/proc/self/clear_refs").write_text("5")

    def _peaks(self) -> tuple[float, float | None]:
        """Peak memory, and on a GPU what its allocator reserved, in MB."""
        if self.device != "cpu":
            import torch

            return torch.cuda.max_memory_allocated() / MB, torch.cuda.max_memory_reserved() / MB
        return peak_main_mb(), None


def peak_main_mb() -> float:
    """Most main memory that this process has held, in MB, since its last reset by a Meter."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) / 1024
    import psutil

    return psutil.Process().memory_info().rss / MB


def hardware(device: str, threads: int) -> dict[str, Any]:
    """What the figures were measured on; equal ``id`` means comparable seconds."""
    facts: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": device,
    }
    if device != "cpu":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts | {"id": digest(facts, 8)}


def _cpu_name() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x for x in lines if x.startswith("model name")).split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
