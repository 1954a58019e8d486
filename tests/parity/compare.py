"""Two errors of a tensor against the recorded one, and the tolerance they are held to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    """Largest absolute difference, and norm of the difference over norm of the expected."""

    absolute: float
    relative: float


@dataclass(frozen=True)
class Comparison:
    """How far a result is from what was recorded."""

    absolute: float
    relative: float
    tolerance: Tolerance

    @property
    def ok(self) -> bool:
        """Both errors within tolerance; NaN is not."""
        within = self.tolerance
        return self.absolute <= within.absolute and self.relative <= within.relative

    def __str__(self) -> str:
        within = self.tolerance
        return (
            f"absolute {self.absolute:.1e} (<= {within.absolute:.0e})  "
            f"relative {self.relative:.1e} (<= {within.relative:.0e})"
        )

    @property
    def excess(self) -> float:
        """The larger error in units of its tolerance: what to show first."""
        within = self.tolerance
        errors = (self.absolute, within.absolute), (self.relative, within.relative)
        return max((e / t if t else inf if e else 0.0) if e == e else inf for e, t in errors)


def compare(expected: Tensor, actual: Tensor, tolerance: Tolerance) -> Comparison:
    """Errors of ``actual``; infinite where the shapes differ."""
    if expected.shape != actual.shape:
        return Comparison(inf, inf, tolerance)
    difference = (actual.double() - expected.double()).abs()
    absolute = difference.max().item() if difference.numel() else 0.0
    norm = torch.linalg.vector_norm(expected.double()).item()
    relative = torch.linalg.vector_norm(difference).item() / norm if norm else absolute
    return Comparison(absolute, relative, tolerance)


def largest(comparisons: Iterable[Comparison]) -> Comparison:
    """The largest errors among comparisons of one tolerance; of several, the least well met."""
    by_tolerance: dict[Tolerance, Comparison] = {}
    for item in comparisons:
        other = by_tolerance.get(item.tolerance, item)
        by_tolerance[item.tolerance] = Comparison(
            _larger(item.absolute, other.absolute),
            _larger(item.relative, other.relative),
            item.tolerance,
        )
    return max(by_tolerance.values(), key=lambda item: item.excess)


def _larger(one: float, other: float) -> float:
    """The larger number, NaN above all."""
    return one if one != one or one > other else other


def equal(expected: list[int], actual: list[int]) -> Comparison:
    """Integers that must agree exactly."""
    off = sum(a != b for a, b in zip(expected, actual, strict=False))
    off += abs(len(expected) - len(actual))
    return Comparison(off, off / max(1, len(expected)), Tolerance(0, 0))
