"""What a piece of work costs: seconds, network evaluations and peak memory."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.atomic import digest

MB = 2**20


@dataclass
class Cost:
    """Adds up along the steps of one cell."""

    seconds: float = 0.0
    evaluations: int = 0  # samples through the network
    peak_memory_mb: float = 0.0  # of the process on a CPU, allocated on a GPU

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds,
            self.evaluations + other.evaluations,
            max(self.peak_memory_mb, other.peak_memory_mb),
        )


class Meter:
    """Measures blocks of work on a device; ``backbone`` counts its own evaluations."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.backbone: Any = None

    @contextlib.contextmanager
    def measure(self) -> Iterator[Cost]:
        """Fill in a cost when the block ends well."""
        cost = Cost()
        self._reset_peak()
        before, start = self._evaluations(), time.perf_counter()
        yield cost
        self._wait()
        cost.seconds = time.perf_counter() - start
        cost.evaluations = self._evaluations() - before
        cost.peak_memory_mb = self._peak()

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

    def _peak(self) -> float:
        if self.device != "cpu":
            import torch

            return torch.cuda.max_memory_allocated() / MB
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
