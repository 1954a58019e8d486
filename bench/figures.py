"""A benchmark's figures: values held to targets, times taken in turns, bytes alive at once."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


@dataclass(frozen=True)
class Figure:
    """One measured number and what it should be."""

    name: str
    value: float
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        """Within its target; a figure without one always is."""
        low, high = self.at_least, self.at_most
        return (low is None or self.value >= low) and (high is None or self.value <= high)

    def __str__(self) -> str:
        target = ""
        if self.at_least is not None:
            target = f" (target: at least {self.at_least:g})"
        if self.at_most is not None:
            target = f" (target: at most {self.at_most:g})"
        verdict = "" if not target else "  met" if self.met else "  MISSED"
        note = f"  [{self.note}]" if self.note else ""
        return f"{self.name:<52} {self.value:8.3g} {self.unit}{target}{verdict}{note}"


def agree(name: str, ours: Tensor, plain: Tensor, tolerance: float = 1e-3) -> Figure:
    """Norm of the difference over norm of the plain result, and whether that is rounding."""
    difference = torch.linalg.vector_norm(ours - plain) / torch.linalg.vector_norm(plain)
    return Figure(f"{name}: relative difference", difference.item(), "", at_most=tolerance)


def seconds(*works: Callable[[], Any], repeats: int) -> list[float]:
    """Median seconds of each piece of work; they take turns, after one that is not counted.

    On a CPU it is processor time of all threads, which other programs on a busy machine hardly
    touch; with a GPU it is time on the clock.
    """
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for times, work in zip(taken, works, strict=True):
            start = _clock()
            work()
            if turn:
                times.append(_clock() - start)
    return [median(times) for times in taken]


def _clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def peak_bytes(work: Callable[[], Any]) -> int:
    """Most bytes of tensors made by ``work`` and alive at once; scratch inside kernels is not seen.

    The same on every device, which an allocator's own figure is not.
    """
    tracker = _Alive()
    with torch.no_grad(), tracker:
        work()
    return tracker.peak


class _Alive(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {_address(x) for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor) and _address(tensor) not in before | self.known:
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        self.known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, address, size)

    def _drop(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.now -= size


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
