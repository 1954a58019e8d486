"""Metrics that hold frames against others: the source, all or part of it, or the oracle."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.pixels import no_oracle, objects, same_shape, untouched

Pair = tuple[np.ndarray, np.ndarray | None]  # reference frames, and the pixels that count


def _source(sample: Sample) -> Pair | str:
    return same_shape(sample) or (sample.clip.frames, None)


def _outside(sample: Sample) -> Pair | str:
    pixels, reason = untouched(sample)
    return reason or (sample.clip.frames, pixels)


def _inside(sample: Sample) -> Pair | str:
    pixels, reason = objects(sample)
    return reason or (sample.clip.frames, pixels)


def _oracle(sample: Sample) -> Pair | str:
    return no_oracle(sample) or (sample.edit.oracle, None)


@dataclass(frozen=True)
class Region:
    """What frames are held against, and where."""

    pattern: str  # of the recipe's name
    by: str  # after the @ of recipes that need no extractor
    ranked: bool  # whether less distance is better; else it is a description
    pair: Callable[[Sample], Pair | str]  # the pair, or why there is none


#: To all of the source the identity is nearest, and inside the objects the edit is to change it:
#: neither ranks edits.
REGIONS = (
    Region("{}", "source", False, _source),
    Region("{}_outside", "source", True, _outside),
    Region("{}_inside", "source", False, _inside),
    Region("oracle_{}", "rgb", True, _oracle),
)


class Compared(Metric):
    """A likeness or distance over four regions, by pixels or by each of some extractors."""

    name: ClassVar[str]
    extractors: ClassVar[tuple[str, ...]] = ()  # empty: pixels are compared
    greater_is_nearer: ClassVar[bool] = False
    smallest: ClassVar[int] = 1  # pixels a side

    def __init__(self, region: Region, by: str) -> None:
        self.region, self.extractor = region, by
        self.recipe = f"{region.pattern.format(self.name)}@{by}"

    @classmethod
    def recipes(cls) -> dict[str, Callable[[], Metric]]:
        made = [
            partial(cls, region, by) for region in REGIONS for by in cls.extractors or (region.by,)
        ]
        return {make().recipe: make for make in made}

    @property
    def higher_is_better(self) -> bool | None:
        """Nearer is better where the region ranks; elsewhere the figure only describes."""
        return self.greater_is_nearer if self.region.ranked else None

    @abstractmethod
    def values(
        self, frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None
    ) -> np.ndarray:
        """(N,) figures of (N, H, W, 3) frames over all or the (N, H, W) pixels chosen.

        NaN for a frame in which none is.
        """

    def compute(self, sample: Sample) -> Score:
        pair = self.region.pair(sample)
        if isinstance(pair, str):
            return Score(None, reason=pair)
        if min(sample.frames.shape[1:3]) < self.smallest:
            return Score(None, reason=f"frames of at least {self.smallest} pixels are needed")
        values = self.values(sample.frames, *pair)
        if np.isnan(values).all():
            return Score(None, reason="no frame has a large enough region to compare")
        return Score(float(np.nanmean(values)), tuple(values))
