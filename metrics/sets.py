"""Metrics of sets: each cell gives its share, and a number belongs to many cells together.

Two extents are known. ``seeds``: the images of one request, drawn with several seeds, make the set,
and its number stands in the table for each of them, averaged over clips as any other. ``cells``:
all cells of a row make the set; its number belongs to no clip, so it has an n and no interval.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics.base import Family, Sample, Score

SEEDS, CELLS = "seeds", "cells"


@dataclass(frozen=True)
class Share:
    """What one cell gives to its set: its samples, and those that they are held against."""

    samples: np.ndarray  # (K, D) float32
    reference: np.ndarray | None = None  # (M, D); equal for equal clip and edit


@dataclass(frozen=True)
class Member:
    """A cell of a set: what was asked of it, and its share."""

    clip: str
    edit: str
    seed: int
    share: Share


@dataclass(frozen=True)
class SetScore:
    """The number of a set of ``n`` samples; undefined is None with the reason."""

    value: float | None
    n: int
    reason: str = ""


class SetMetric(Family):
    """A recipe over a set of cells: declared as every other, computed when all are there."""

    extent: ClassVar[str]  # SEEDS or CELLS

    @abstractmethod
    def share(self, sample: Sample) -> Share | str:
        """What a cell gives to the set, or why it gives nothing."""

    @abstractmethod
    def combine(self, members: Sequence[Member]) -> SetScore:
        """The number of some cells; undefined for too few."""

    def compute(self, sample: Sample) -> Score:
        """No number is a single cell's."""
        share = self.share(sample)
        return Score(
            None, reason=share if isinstance(share, str) else "it is a set's, not a cell's"
        )
