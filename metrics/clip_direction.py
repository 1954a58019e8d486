"""Whether the frames changed in the direction in which the captions did.

Source: Gal et al. 2022 (StyleGAN-NADA), as used by InstructPix2Pix: features are normalised before
the difference is taken.
"""

from __future__ import annotations

import numpy as np

from metrics.base import Sample, Score
from metrics.clip_metric import ClipMetric

_NO_CHANGE = 1e-4  # difference of unit embeddings below which it has no direction


class ClipDirection(ClipMetric):
    """Cosine between the change of the frames and the change of the caption."""

    name = "clip_direction"
    higher_is_better = True
    range = (-1.0, 1.0)
    margin = 0.02
    citation = "Gal et al. 2022; features normalised before the difference"

    def directions(
        self, frames: np.ndarray, source: np.ndarray, target_prompt: str, source_prompt: str
    ) -> np.ndarray:
        """(N,) cosines between image and text differences; NaN for a frame that did not change.

        The two prompts must differ to the extractor.
        """
        clip = self.clip
        text = clip.encode_text([target_prompt, source_prompt]).double()
        wanted = (text[0] - text[1]).numpy()
        change = (clip.encode_image(frames).double() - clip.encode_image(source).double()).numpy()
        length = np.linalg.norm(change, axis=1)
        cosine = change @ wanted / np.maximum(length, _NO_CHANGE) / np.linalg.norm(wanted)
        return np.where(length < _NO_CHANGE, np.nan, cosine)

    def compute(self, sample: Sample) -> Score:
        problem = self.no_change_asked(sample) or self.no_pairs(sample)
        if problem:
            return Score(None, reason=problem)
        prompts = sample.edit.prompt, sample.clip.prompt
        cosines = self.directions(sample.frames, sample.clip.frames, *prompts)
        if np.isnan(cosines).all():
            return Score(None, tuple(cosines), "the frames equal the source: no direction")
        return Score(float(np.nanmean(cosines)), tuple(cosines))
