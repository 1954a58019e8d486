"""How well the frames match the prompt, by the embedded CLIP: absolute, and gained over the source.

Raw cosine times 100, mean over frames, no clamp (recipe of TokenFlow's tables; Hessel et al. 2021
for CLIP as a score).
"""

from __future__ import annotations

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.extractors import EQUAL_CAPTIONS, world_clip, world_clip_digest


def text_scores(frames: np.ndarray, prompt: str) -> np.ndarray:
    """(N,) cosine times 100 between (N, H, W, 3) frames and a prompt."""
    clip = world_clip()
    return 100 * (clip.encode_image(frames) @ clip.encode_text([prompt])[0]).double().numpy()


class ClipText(Metric):
    """Cosine x 100 of frames and target prompt (the source's where no edit is asked)."""

    recipe = "clip_text@world-tiny"
    unit = "x100"
    higher_is_better = True
    range = (-100.0, 100.0)
    citation = "Hessel et al. 2021; embedded CLIP, raw cosine x 100"

    @property
    def extractor_digest(self) -> str:
        return world_clip_digest()

    def compute(self, sample: Sample) -> Score:
        prompt = sample.edit.prompt if sample.edit else sample.clip.prompt
        scores = text_scores(sample.frames, prompt)
        return Score(float(scores.mean()), tuple(scores))


class ClipGain(Metric):
    """Alignment with the target prompt gained over the unedited source: 0 for no edit."""

    recipe = "clip_gain@world-tiny"
    unit = "x100"
    higher_is_better = True
    range = (-200.0, 200.0)
    citation = "clip_text of the edit minus clip_text of the source, both to the target prompt"

    @property
    def extractor_digest(self) -> str:
        return world_clip_digest()

    def compute(self, sample: Sample) -> Score:
        if sample.edit is None:
            return Score(None, reason="no edit is asked")
        if len(sample.frames) != len(sample.clip.frames):
            return Score(None, reason="frames and source differ in number")
        prompt = sample.edit.prompt
        if world_clip().sees_equal(prompt, sample.clip.prompt):
            return Score(None, reason=EQUAL_CAPTIONS)
        gains = text_scores(sample.frames, prompt) - text_scores(sample.clip.frames, prompt)
        return Score(float(gains.mean()), tuple(gains))
