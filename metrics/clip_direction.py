"""Whether the frames changed in the direction in which the captions did, by the embedded CLIP.

Source: Gal et al. 2022 (StyleGAN-NADA), as used by InstructPix2Pix: features are normalised before
the difference is taken.
"""

from __future__ import annotations

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.extractors import EQUAL_CAPTIONS, world_clip, world_clip_digest

_NO_CHANGE = 1e-4  # difference of unit embeddings below which it has no direction


def directions(
    frames: np.ndarray, source: np.ndarray, target_prompt: str, source_prompt: str
) -> np.ndarray:
    """(N,) cosines between image and text differences; NaN for a frame that did not change.

    The two prompts must differ to the extractor.
    """
    clip = world_clip()
    text = clip.encode_text([target_prompt, source_prompt]).double()
    wanted = (text[0] - text[1]).numpy()
    change = (clip.encode_image(frames).double() - clip.encode_image(source).double()).numpy()
    length = np.linalg.norm(change, axis=1)
    cosine = change @ wanted / np.maximum(length, _NO_CHANGE) / np.linalg.norm(wanted)
    return np.where(length < _NO_CHANGE, np.nan, cosine)


class ClipDirection(Metric):
    """Cosine between the change of the frames and the change of the caption."""

    recipe = "clip_direction@world-tiny"
    higher_is_better = True
    range = (-1.0, 1.0)
    citation = "Gal et al. 2022; embedded CLIP, features normalised before the difference"

    @property
    def extractor_digest(self) -> str:
        return world_clip_digest()

    def compute(self, sample: Sample) -> Score:
        if sample.edit is None:
            return Score(None, reason="no edit is asked")
        if len(sample.frames) != len(sample.clip.frames):
            return Score(None, reason="frames and source differ in number")
        prompts = sample.edit.prompt, sample.clip.prompt
        if world_clip().sees_equal(*prompts):
            return Score(None, reason=EQUAL_CAPTIONS)
        cosines = directions(sample.frames, sample.clip.frames, *prompts)
        if np.isnan(cosines).all():
            return Score(None, tuple(cosines), "the frames equal the source: no direction")
        return Score(float(np.nanmean(cosines)), tuple(cosines))
