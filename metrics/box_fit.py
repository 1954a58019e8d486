"""How well objects fill the boxes that were asked for: intersection over union, and AP."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from data.clip import Region
from metrics.base import Sample, Score
from metrics.detectors import Box, Detection, LayoutMetric, best, layout_of

AP_RECALLS = np.linspace(0, 1, 101)  # COCO's


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    x0, y0 = max(one[0], other[0]), max(one[1], other[1])
    x1, y1 = min(one[2], other[2]), min(one[3], other[3])
    shared = max(0.0, x1 - x0) * max(0.0, y1 - y0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def average_precision(
    pictures: Sequence[tuple[Sequence[Detection], Sequence[Region]]], threshold: float = 0.5
) -> float:
    """Average precision over pictures: what was found of what was asked, surest first.

    COCO's protocol (Lin et al. 2014), names as classes pooled: a detection is right if it has the
    name of a box not yet taken and at least ``threshold`` IoU with it; precision at 101 recalls,
    each the best at that recall or beyond. ValueError where no box is asked.
    """
    asked = sum(len(region.boxes) for _, layout in pictures for region in layout)
    if not asked:
        raise ValueError("average precision needs boxes")
    hits: list[tuple[float, bool]] = []
    for found, layout in pictures:
        left = [(region.phrase, box) for region in layout for box in region.boxes]
        for detection in sorted(found, key=lambda one: -one.score):
            near = [
                (iou(detection.box, box), k)
                for k, (phrase, box) in enumerate(left)
                if phrase == detection.phrase
            ]
            overlap, k = max(near, default=(0.0, -1))
            right = k >= 0 and overlap >= threshold
            if right:
                left.pop(k)
            hits.append((detection.score, right))
    right = np.array([hit for _, hit in sorted(hits, key=lambda pair: -pair[0])], float)
    if not len(right):
        return 0.0
    taken = np.cumsum(right)
    precision, recall = taken / np.arange(1, len(right) + 1), taken / asked
    reached = [precision[recall >= level] for level in AP_RECALLS]
    return float(np.mean([part.max() if len(part) else 0.0 for part in reached]))


class _BoxFit(LayoutMetric):
    higher_is_better = True
    range = (0.0, 1.0)

    @abstractmethod
    def frame(self, detections: list[Detection], layout: Sequence[Region]) -> float:
        """One frame's score."""

    def compute(self, sample: Sample) -> Score:
        layout = layout_of(sample)
        if not layout or not all(region.boxes for region in layout):
            return Score(None, reason="no boxes are asked")
        values = tuple(self.frame(found, layout) for found in self.detections(sample))
        return Score(float(np.mean(values)), values)


class BoxIoU(_BoxFit):
    """IoU of each object's box with the asked one (the best of several); 0 for one not found."""

    name = "box_iou"
    citation = "mean over objects; the surest detection of each name"

    def frame(self, detections: list[Detection], layout: Sequence[Region]) -> float:
        fits = []
        for region in layout:
            found = best(detections, region.phrase)
            fits.append(max(iou(found.box, box) for box in region.boxes) if found else 0.0)
        return float(np.mean(fits))


class BoxAP(_BoxFit):
    """Average precision of a picture's boxes at IoU 0.5; over many pictures, the mean of theirs."""

    name = "box_ap50"
    citation = "Lin et al. 2014 (COCO), of each picture by itself, names as classes pooled"

    def frame(self, detections: list[Detection], layout: Sequence[Region]) -> float:
        return average_precision([(detections, layout)])
