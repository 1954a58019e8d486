"""Where named objects are in a picture: the world's exact analyser, and OWL-ViT for real images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from data.clip import Region
from data.errors import UserError
from data.world.vocabulary import SIZE
from metrics.base import Family, Sample

if TYPE_CHECKING:
    from metrics.nets.owlvit import OwlViT

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 as shares of width and height


@dataclass(frozen=True)
class Detection:
    """A named object that was found."""

    phrase: str
    box: Box
    score: float  # in [0, 1], higher is surer


class Detector(ABC):
    """Finds objects by name in one (H, W, 3) uint8 picture."""

    @abstractmethod
    def detect(self, frame: np.ndarray, phrases: Sequence[str]) -> list[Detection]:
        """Every object found of those named, in no order."""


class Analyser(Detector):
    """The world's analyser: a colour and shape for each of the largest patches of non-ground."""

    MOST = 4

    def detect(self, frame: np.ndarray, phrases: Sequence[str]) -> list[Detection]:
        """Raises UserError for a picture that is not of the world's size."""
        if frame.shape != (SIZE, SIZE, 3):
            raise UserError(f"the analyser reads {SIZE}x{SIZE} pictures of the world alone")
        found = _read(np.ascontiguousarray(frame).tobytes(), self.MOST)
        return [detection for detection in found if detection.phrase in phrases]


@lru_cache(maxsize=256)
def _read(pixels: bytes, most: int) -> tuple[Detection, ...]:
    from data.world.analyser import analyse
    from data.world.fitting import WORST

    frame = np.frombuffer(pixels, np.uint8).reshape(SIZE, SIZE, 3)
    return tuple(
        Detection(
            f"{found.colour} {found.shape}",
            tuple(edge / SIZE for edge in found.box),
            1 - found.error / WORST,
        )
        for found in analyse(frame, most).objects
    )


@cache
def owlvit() -> OwlViT:
    """OWL-ViT, loaded once. Raises MissingExtractor."""
    from metrics.nets.owlvit import OwlViT

    return OwlViT.load()


class LayoutMetric(Family):
    """A metric of objects against the layout that was asked for, by either detector."""

    extractors = ("analyser", "owlvit")

    @property
    def detector(self) -> Detector:
        """What finds objects. Raises MissingExtractor."""
        return Analyser() if self.extractor == "analyser" else owlvit()

    @property
    def extractor_digest(self) -> str:
        """Digest of the detector's weights; ``absent`` where they are not on this machine."""
        if self.extractor == "analyser":
            return ""
        from metrics.nets.owlvit import EXTRACTORS

        return EXTRACTORS[self.extractor].digest()

    def detections(self, sample: Sample) -> list[list[Detection]]:
        """What is found of the layout's objects, frame by frame."""
        phrases = [region.phrase for region in layout_of(sample)]
        return [self.detector.detect(frame, phrases) for frame in sample.frames]


def layout_of(sample: Sample) -> tuple[Region, ...]:
    """The layout asked for; empty where none is."""
    return sample.edit.layout if sample.edit else ()


def best(detections: Sequence[Detection], phrase: str) -> Detection | None:
    """The surest detection of a phrase, or None."""
    named = [found for found in detections if found.phrase == phrase]
    return max(named, key=lambda found: found.score, default=None)
