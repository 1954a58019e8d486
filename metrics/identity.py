"""Whether it is still the same face: against the picture that was to speak."""

from __future__ import annotations

import numpy as np

from metrics.base import Family, Sample, Score
from metrics.portrait_motion import crop, steadied
from metrics.voices import face_boxes

PIXELS = "pixels"


class Identity(Family):
    """Likeness of each frame's face and the clip's first frame's.

    ``pixels``: correlation of the upper face's pixels, above the mouth, once the head is back in
    its place. ``arcface``: cosine of the embeddings that the released program uses.
    """

    name = "identity"
    extractors = (PIXELS, "arcface")
    higher_is_better = True
    range = (-1.0, 1.0)
    margin = 0.01
    citation = "Deng et al. 2019 (ArcFace) where its weights are; else correlation of pixels"

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        if self.extractor == PIXELS:
            return ""
        from metrics.nets.arcface import EXTRACTOR

        return EXTRACTOR.digest()

    def compute(self, sample: Sample) -> Score:
        boxes = face_boxes(sample)
        if self.extractor != PIXELS:
            from metrics.nets.arcface import arcface

            network = arcface()  # what is missing is said before what is undefined
        if boxes is None:
            return Score(None, reason="no boxes of face and lips are known for this clip")
        shown = np.concatenate([sample.clip.frames[:1], sample.frames])
        if self.extractor == PIXELS:
            values = _likeness(shown, *boxes)
        else:
            faces = network.embed(crop(shown, boxes[0]))
            values = faces[1:] @ faces[0]
        return Score(float(values.mean()), tuple(values))


def _likeness(frames: np.ndarray, face: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """(N - 1,) correlations of the upper faces of all frames but the first with the first's."""
    upper = np.array([face[0], face[1], face[2], lips[1] - 2])
    faces = crop(steadied(frames, face), upper).reshape(len(frames), -1)
    return np.array([np.corrcoef(faces[0], one)[0, 1] for one in faces[1:]])
