"""VISOR: whether all objects are there, and whether they stand to each other as was asked.

Gokhale et al. 2022, "Benchmarking Spatial Relationships in Text-to-Image Generation". Two objects'
relation is that of the centres of their boxes, along the axis on which the asked boxes' centres
lie farther apart; of three objects every pair counts. VISOR_1 to 4 are over the
images of a prompt: ``metrics/visor_n.py``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from data.clip import Region
from metrics.base import Sample, Score
from metrics.detectors import Box, Detection, LayoutMetric, best, layout_of


def centre(boxes: Sequence[Box]) -> np.ndarray:
    """(x, y) of the middle of what boxes span."""
    edges = np.array(boxes)
    return (edges[:, :2].min(axis=0) + edges[:, 2:].max(axis=0)) / 2


def as_asked(found: Mapping[str, Detection], layout: Sequence[Region]) -> bool:
    """Whether every two objects, all of them found, stand to each other as their boxes do."""
    for one, other in combinations(layout, 2):
        wanted = centre(one.boxes) - centre(other.boxes)
        axis = int(np.abs(wanted).argmax())
        seen = centre([found[one.phrase].box]) - centre([found[other.phrase].box])
        if seen[axis] * wanted[axis] <= 0:
            return False
    return True


class _Visor(LayoutMetric):
    higher_is_better = True
    range = (0.0, 1.0)
    citation = "Gokhale et al. 2022 (VISOR)"

    def frame(self, detections: list[Detection], layout: Sequence[Region]) -> float | None:
        """One frame's score; None where it has none."""
        found = {region.phrase: best(detections, region.phrase) for region in layout}
        return self.judge({k: v for k, v in found.items() if v}, layout)

    @abstractmethod
    def judge(self, found: Mapping[str, Detection], layout: Sequence[Region]) -> float | None:
        """The score, from the surest detection of each object that was found."""

    def compute(self, sample: Sample) -> Score:
        layout = layout_of(sample)
        if not layout:
            return Score(None, reason="no layout is asked")
        values = [self.frame(found, layout) for found in self.detections(sample)]
        known = [value for value in values if value is not None]
        trace = tuple(float("nan") if value is None else value for value in values)
        if not known:
            return Score(None, trace, "not all objects are in any frame")
        return Score(float(np.mean(known)), trace)


class ObjectAccuracy(_Visor):
    """Share of frames in which every named object is found."""

    name = "object_accuracy"

    def judge(self, found: Mapping[str, Detection], layout: Sequence[Region]) -> float:
        return float(len(found) == len(layout))


class ObjectRecall(_Visor):
    """Share of the named objects that are found, over frames: what accuracy counts all or none."""

    name = "object_recall"

    def judge(self, found: Mapping[str, Detection], layout: Sequence[Region]) -> float:
        return len(found) / len(layout)


class _Placed(_Visor):
    def compute(self, sample: Sample) -> Score:
        layout = layout_of(sample)
        if len(layout) < 2 or not all(region.boxes for region in layout):
            return Score(None, reason="no boxes are asked for two objects or more")
        return super().compute(sample)


class Visor(_Placed):
    """Unconditional: all objects found, and placed as asked."""

    name = "visor"

    def judge(self, found: Mapping[str, Detection], layout: Sequence[Region]) -> float:
        return float(len(found) == len(layout) and as_asked(found, layout))


class VisorConditional(_Placed):
    """Placed as asked, of the images in which all objects are found; undefined in the others."""

    name = "visor_cond"

    def judge(self, found: Mapping[str, Detection], layout: Sequence[Region]) -> float | None:
        return float(as_asked(found, layout)) if len(found) == len(layout) else None
