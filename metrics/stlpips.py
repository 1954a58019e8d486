"""ST-LPIPS of Ghildyal and Liu 2022: a perceptual distance that small shifts do not raise."""

from __future__ import annotations

from metrics.feature_distance import FeatureDistance, FeatureNet
from metrics.nets.stlpips import EXTRACTOR, stlpips_net


class ShiftTolerantPerceptual(FeatureDistance):
    """ST-LPIPS to the source in all, outside or inside the objects (``stlpips``,
    ``stlpips_outside``, ``stlpips_inside``), or to the oracle video. It is not LPIPS."""

    name = "stlpips"
    extractors = ("alex",)
    range = (0.0, float("inf"))
    citation = "Ghildyal and Liu 2022 (ST-LPIPS vST0.0, AlexNet)"

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        return EXTRACTOR.digest()

    def net(self) -> FeatureNet:
        return stlpips_net()
