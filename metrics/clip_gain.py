"""How much better the frames match the target prompt than the unedited source does."""

from __future__ import annotations

from metrics.base import Sample, Score
from metrics.clip_metric import ClipMetric


class ClipGain(ClipMetric):
    """Alignment with the target prompt gained over the unedited source: 0 for no edit."""

    name = "clip_gain"
    unit = "x100"
    higher_is_better = True
    range = (-200.0, 200.0)
    margin = 0.5
    citation = "clip_text of the edit minus clip_text of the source, both to the target prompt"

    def compute(self, sample: Sample) -> Score:
        problem = self.no_change_asked(sample) or self.no_pairs(sample)
        if problem:
            return Score(None, reason=problem)
        prompt = sample.edit.prompt
        gains = self.text_scores(sample.frames, prompt) - self.text_scores(
            sample.clip.frames, prompt
        )
        return Score(float(gains.mean()), tuple(gains))
