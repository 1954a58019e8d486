"""Perceptual distance over the embedded CLIP's convolutional features.

Built as Zhang et al. 2018 build LPIPS without its learned weights (unit-normalised channels,
squared differences summed over channels, averaged over positions) and averaged over five depths.
It is not LPIPS and never called so: 0 for equal frames, at most 2. To the source it measures
preservation, which the identity wins; it is no ranking of edits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.extractors import SMALLEST, world_clip, world_clip_digest
from metrics.pixels import no_oracle, same_shape, untouched

if TYPE_CHECKING:
    import torch

_TOO_SMALL = f"frames of at least {SMALLEST} pixels are needed"
_CITATION = "after Zhang et al. 2018 without learned weights; embedded CLIP's features, not LPIPS"


def distance_maps(frames: np.ndarray, reference: np.ndarray) -> list[torch.Tensor]:
    """(N, h, w) distances in [0, 2] at each of the five depths, finest first."""
    from torch.nn import functional as F

    clip = world_clip()
    pairs = zip(clip.feature_maps(frames), clip.feature_maps(reference), strict=True)
    return [
        (F.normalize(a, dim=1, eps=1e-10) - F.normalize(b, dim=1, eps=1e-10)).pow(2).sum(dim=1)
        for a, b in pairs
    ]


def perceptual_distance(frames: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(N,) distances of (N, H, W, 3) frames, at their own resolution (at least 32 pixels)."""
    means = [layer.mean(dim=(1, 2)).double().numpy() for layer in distance_maps(frames, reference)]
    return np.mean(means, axis=0)


def perceptual_outside(
    frames: np.ndarray, reference: np.ndarray, outside: np.ndarray
) -> np.ndarray:
    """(N,) distances over the (N, H, W) pixels outside the objects; NaN where there are none.

    The reference's pixels stand in for the frames' inside the objects. Otherwise features just
    outside would see what changed inside.
    """
    from torch.nn import functional as F

    blended = np.where(outside[..., None], frames, reference)
    size = outside.shape[1:]
    layers = [
        F.interpolate(layer[:, None], size, mode="bilinear", align_corners=False)[:, 0]
        for layer in distance_maps(blended, reference)
    ]
    spread = np.mean([layer.double().numpy() for layer in layers], axis=0)
    count = outside.sum(axis=(1, 2))
    total = (spread * outside).sum(axis=(1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class _Perceptual(Metric):
    range = (0.0, 2.0)
    citation = _CITATION

    @property
    def extractor_digest(self) -> str:
        return world_clip_digest()


class Perceptual(_Perceptual):
    """Distance to the source, whole frames. A description: the identity has 0."""

    recipe = "perceptual@world-tiny"
    higher_is_better = None

    def compute(self, sample: Sample) -> Score:
        problem = same_shape(sample)
        if problem or min(sample.frames.shape[1:3]) < SMALLEST:
            return Score(None, reason=problem or _TOO_SMALL)
        values = perceptual_distance(sample.frames, sample.clip.frames)
        return Score(float(values.mean()), tuple(values))


class PerceptualOutside(_Perceptual):
    """Distance to the source outside the objects, where nothing was to change."""

    recipe = "perceptual_outside@world-tiny"
    higher_is_better = False

    def compute(self, sample: Sample) -> Score:
        outside, reason = untouched(sample)
        if outside is None or min(sample.frames.shape[1:3]) < SMALLEST:
            return Score(None, reason=reason or _TOO_SMALL)
        values = perceptual_outside(sample.frames, sample.clip.frames, outside)
        return Score(float(np.nanmean(values)), tuple(values))


class OraclePerceptual(_Perceptual):
    """Distance to the oracle video: 0 is the true answer."""

    recipe = "oracle_perceptual@world-tiny"
    higher_is_better = False

    def compute(self, sample: Sample) -> Score:
        problem = no_oracle(sample)
        if problem or min(sample.frames.shape[1:3]) < SMALLEST:
            return Score(None, reason=problem or _TOO_SMALL)
        values = perceptual_distance(sample.frames, sample.edit.oracle)
        return Score(float(values.mean()), tuple(values))
