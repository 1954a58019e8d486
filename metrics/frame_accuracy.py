"""The share of frames that the extractor takes for the target rather than for the source."""

from __future__ import annotations

from metrics.base import Sample, Score
from metrics.clip_metric import ClipMetric


class FrameAccuracy(ClipMetric):
    """Share of frames nearer to the target prompt than to the source's; a tie counts as nearer."""

    name = "frame_accuracy"
    higher_is_better = True
    range = (0.0, 1.0)
    margin = 0.02
    citation = "Frame-Acc of Qi et al. 2023 (FateZero): p(target) >= p(source) over both prompts"

    def compute(self, sample: Sample) -> Score:
        problem = self.no_change_asked(sample)
        if problem:
            return Score(None, reason=problem)
        target, source = (
            self.text_scores(sample.frames, prompt)
            for prompt in (sample.edit.prompt, sample.clip.prompt)
        )
        nearer = (target >= source).astype(float)
        return Score(float(nearer.mean()), tuple(nearer))
