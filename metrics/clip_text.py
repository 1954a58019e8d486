"""How well the frames match the prompt: raw cosine times 100, mean over frames, no clamp.

The recipe of TokenFlow's tables; Hessel et al. 2021 for CLIP as a score.
"""

from __future__ import annotations

from metrics.base import Sample, Score
from metrics.clip_metric import ClipMetric


class ClipText(ClipMetric):
    """Cosine x 100 of frames and target prompt (the source's where no edit is asked)."""

    name = "clip_text"
    unit = "x100"
    higher_is_better = True
    range = (-100.0, 100.0)
    margin = 0.5
    citation = "Hessel et al. 2021; raw cosine x 100, no clamp, mean over frames"

    def compute(self, sample: Sample) -> Score:
        prompt = sample.edit.prompt if sample.edit else sample.clip.prompt
        scores = self.text_scores(sample.frames, prompt)
        return Score(float(scores.mean()), tuple(scores))
