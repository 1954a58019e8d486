"""Perceptual distance over the embedded CLIP's convolutional features.

Built as Zhang et al. 2018 build LPIPS without its learned weights (unit-normalised channels,
squared differences summed over channels, averaged over positions) and averaged over five depths.
It is not LPIPS and never called so: 0 for equal frames, at most 2. To the source it measures
preservation, which the identity wins; it is no ranking of edits.
"""

from __future__ import annotations

from metrics.extractors import SMALLEST, world_clip, world_clip_digest
from metrics.feature_distance import FeatureDistance, FeatureNet


class Perceptual(FeatureDistance):
    """Distance by the embedded CLIP's features: to the source in all, outside or inside the objects
    (``perceptual``, ``perceptual_outside``, ``perceptual_inside``), or to the oracle video."""

    name = "perceptual"
    extractors = ("world-tiny",)
    smallest = SMALLEST
    range = (0.0, 2.0)
    citation = (
        "after Zhang et al. 2018 without learned weights, embedded CLIP's features: not LPIPS"
    )

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        return world_clip_digest()

    def net(self) -> FeatureNet:
        return world_clip()
