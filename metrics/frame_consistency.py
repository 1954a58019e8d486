"""How alike the frames of a video are, by a CLIP's image embeddings.

A frozen video is perfectly consistent: read these beside ``dynamic_degree``.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from metrics.base import Sample, Score
from metrics.clip_metric import ClipMetric


class _Consistency(ClipMetric):
    higher_is_better = True
    range = (-1.0, 1.0)
    margin = 0.002

    @abstractmethod
    def _of_frames(self, cosines: np.ndarray) -> np.ndarray:
        """The figures of the frames, or of their pairs, from all (N, N) cosines."""

    def compute(self, sample: Sample) -> Score:
        if len(sample.frames) < 2:
            return Score(None, reason="a single frame has no consistency")
        features = self.clip.encode_image(sample.frames).double().numpy()
        values = self._of_frames(np.clip(features @ features.T, -1.0, 1.0))
        return Score(float(values.mean()), tuple(values))


class FrameConsistency(_Consistency):
    """Mean cosine of consecutive frames; 1 for a constant video."""

    name = "frame_consistency"
    citation = "Tem-Con of Qi et al. 2023 (FateZero): consecutive frames"

    def _of_frames(self, cosines: np.ndarray) -> np.ndarray:
        return np.diagonal(cosines, offset=1)


class FrameConsistencyPairs(_Consistency):
    """Mean cosine of all pairs of frames; 1 for a constant video."""

    name = "frame_consistency_pairs"
    citation = "clip_score_frame of Wu et al. 2023 (TGVE): all pairs"

    def _of_frames(self, cosines: np.ndarray) -> np.ndarray:
        return (cosines.sum(axis=1) - np.diagonal(cosines)) / (len(cosines) - 1)
