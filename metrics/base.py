"""What a metric is: a named recipe, computed on tensors, with its direction and unit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np

from data.clip import Clip, Edit


@dataclass(frozen=True)
class Score:
    """One number and, where it exists, its trace over the frames (or frame pairs)."""

    value: float | None  # None: undefined here, and ``reason`` says why
    per_frame: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Sample:
    """What is scored: the edited frames, their source and what was asked."""

    frames: np.ndarray  # (N, H, W, 3) uint8
    clip: Clip
    edit: Edit | None
    traces: Mapping[str, np.ndarray] = field(default_factory=dict)  # what the method kept


class Metric(ABC):
    """A recipe: ``<name>@<extractor>``. Two recipes never share a column."""

    recipe: str  # e.g. "clip_text@world-tiny"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None]  # None: a description, never ranked
    range: ClassVar[tuple[float, float]]
    margin: ClassVar[float | None] = None  # a loss that passes in a comparison; None: 2 % of it
    citation: ClassVar[str]

    @classmethod
    def recipes(cls) -> dict[str, Callable[[], Metric]]:
        """Every recipe of this class, and what makes it."""
        return {cls.recipe: cls}

    @abstractmethod
    def compute(self, sample: Sample) -> Score:
        """Score one sample; undefined is ``Score(None, reason=…)``, never a made-up number."""


class Family(Metric):
    """One computation by several extractors, each a recipe of its own."""

    name: ClassVar[str]
    extractors: ClassVar[tuple[str, ...]]

    def __init__(self, extractor: str) -> None:
        self.extractor = extractor
        self.recipe = f"{self.name}@{extractor}"

    @classmethod
    def recipes(cls) -> dict[str, Callable[[], Metric]]:
        return {f"{cls.name}@{extractor}": partial(cls, extractor) for extractor in cls.extractors}
