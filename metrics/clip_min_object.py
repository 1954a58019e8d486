"""The most neglected object, by CLIP: similarity to each part of the prompt that names one.

Attend-and-Excite's evaluation (Chefer et al. 2023, section 5.1): the prompt is split at " and " and
" with ", and the smaller similarity counts.
"""

from __future__ import annotations

import re

import numpy as np

from metrics.base import Sample, Score
from metrics.clip_metric import ClipMetric


def parts(prompt: str) -> list[str]:
    """The prompt's parts, each naming an object."""
    return [part.strip() for part in re.split(r" and | with ", prompt) if part.strip()]


class ClipMinObject(ClipMetric):
    """Cosine x 100 to the part of the target prompt that a frame matches least."""

    name = "clip_min_object"
    unit = "x100"
    higher_is_better = True
    range = (-100.0, 100.0)
    margin = 0.5
    citation = "Chefer et al. 2023, section 5.1; raw cosine x 100, without prompt templates"

    def compute(self, sample: Sample) -> Score:
        named = parts(sample.edit.prompt) if sample.edit else []
        if len(named) < 2:
            return Score(None, reason="the prompt names one object")
        scores = np.min([self.text_scores(sample.frames, part) for part in named], axis=0)
        return Score(float(scores.mean()), tuple(scores))
