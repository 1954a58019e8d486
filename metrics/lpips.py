"""LPIPS v0.1 of Zhang et al. 2018: learned perceptual distance, at the frames' own resolution."""

from __future__ import annotations

from metrics.feature_distance import FeatureDistance, FeatureNet
from metrics.nets.lpips import EXTRACTORS, lpips_net


class LearnedPerceptual(FeatureDistance):
    """LPIPS to the source in all, outside or inside the objects (``lpips``, ``lpips_outside``,
    ``lpips_inside``: the spatial map's mean there), or to the oracle video (``oracle_lpips``)."""

    name = "lpips"
    extractors = tuple(EXTRACTORS)
    range = (0.0, float("inf"))
    citation = "Zhang et al. 2018 (LPIPS v0.1, linear weights of the lpips package 0.1.4)"

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        return EXTRACTORS[self.extractor].digest()

    def net(self) -> FeatureNet:
        return lpips_net(self.extractor)
