"""What a metric is: a named recipe, computed on tensors, with its direction and unit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
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


class Metric(ABC):
    """A recipe: ``<name>@<extractor>``. Two recipes never share a column."""

    recipe: ClassVar[str]  # e.g. "clip_text@world-tiny"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None]  # None: a description, never ranked
    range: ClassVar[tuple[float, float]]
    citation: ClassVar[str]

    @abstractmethod
    def compute(self, sample: Sample) -> Score:
        """Score one sample; undefined is ``Score(None, reason=…)``, never a made-up number."""
