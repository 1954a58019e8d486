"""What the metrics over a CLIP share: which there are, and when a change of caption is defined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metrics.base import Family, Sample
from metrics.extractors import world_clip, world_clip_digest
from metrics.nets.clip import EXTRACTORS, open_clip_encoder

if TYPE_CHECKING:
    from metrics.nets.clip import OpenClip
    from metrics.world_clip import WorldClip

EMBEDDED = "world-tiny"


def encoder(extractor: str) -> WorldClip | OpenClip:
    """The CLIP of a name. Raises MissingExtractor."""
    return world_clip() if extractor == EMBEDDED else open_clip_encoder(extractor)


class ClipMetric(Family):
    """A metric by the embedded CLIP and by OpenAI's."""

    extractors = (EMBEDDED, *EXTRACTORS)

    @property
    def clip(self) -> WorldClip | OpenClip:
        """The loaded CLIP. Raises MissingExtractor."""
        return encoder(self.extractor)

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        if self.extractor == EMBEDDED:
            return world_clip_digest()
        return EXTRACTORS[self.extractor].digest()

    def no_change_asked(self, sample: Sample) -> str:
        """Why no change of caption can be scored; empty if one can."""
        if sample.edit is None:
            return "no edit is asked"
        if self.clip.sees_equal(sample.edit.prompt, sample.clip.prompt):
            return "to the extractor, source and target caption are equal"
        return ""

    def no_pairs(self, sample: Sample) -> str:
        """Why a frame has no source frame of its own; empty if it has."""
        if len(sample.frames) != len(sample.clip.frames):
            return "frames and source differ in number"
        return ""

    def text_scores(self, frames: np.ndarray, prompt: str) -> np.ndarray:
        """(N,) cosine times 100 between (N, H, W, 3) frames and a prompt."""
        text = self.clip.encode_text([prompt])[0]
        return 100 * (self.clip.encode_image(frames) @ text).double().numpy()
