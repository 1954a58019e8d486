"""VISOR_1 to VISOR_4: how reliably a prompt's images are right (Gokhale et al. 2022, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from metrics.base import Metric, Sample
from metrics.detectors import LayoutMetric
from metrics.sets import SEEDS, Member, SetMetric, SetScore, Share
from metrics.visor import Visor

IMAGES = 4  # of each prompt, as in the paper


class VisorN(SetMetric):
    """1 for a prompt of whose four images (seeds; the first four of more) at least n are right:
    all objects found and placed as asked, as ``visor`` has it. Its mean is VISOR_n."""

    extent = SEEDS
    extractors = LayoutMetric.extractors
    higher_is_better = True
    range = (0.0, 1.0)
    citation = "Gokhale et al. 2022 (VISOR_n)"

    def __init__(self, least: int, extractor: str) -> None:
        self.least, self.name = least, f"visor_{least}"
        super().__init__(extractor)

    @classmethod
    def recipes(cls) -> dict[str, Callable[[], Metric]]:
        made = [partial(cls, n, by) for n in range(1, IMAGES + 1) for by in cls.extractors]
        return {make().recipe: make for make in made}

    @property
    def extractor_digest(self) -> str:
        """Digest of the detector's weights; ``absent`` where they are not on this machine."""
        return Visor(self.extractor).extractor_digest

    def share(self, sample: Sample) -> Share | str:
        score = Visor(self.extractor).compute(sample)
        if score.value is None:
            return score.reason
        return Share(np.array([[score.value == 1]], np.float32))

    def combine(self, members: Sequence[Member]) -> SetScore:
        first = sorted(members, key=lambda member: member.seed)[:IMAGES]
        if len(first) < IMAGES:
            return SetScore(None, len(first), f"{len(first)} of {IMAGES} images of the prompt")
        right = sum(int(member.share.samples.sum()) for member in first)
        return SetScore(float(right >= self.least), IMAGES)
