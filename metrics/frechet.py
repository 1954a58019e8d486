"""Distance between two sets of pictures or videos by their features (Heusel et al. 2017).

With Inception's features it is FID, with I3D's FVD (Unterthiner et al. 2018), with the embedded
CLIP's neither: it bears that CLIP's name. Below ``LEAST`` samples, or with fewer samples than
features, its bias is larger than the differences between methods, and it is not given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from metrics.base import Metric, Sample
from metrics.extractors import world_clip, world_clip_digest
from metrics.memo import Memo
from metrics.nets import i3d, inception
from metrics.pixels import no_oracle
from metrics.sets import CELLS, Member, SetMetric, SetScore, Share

LEAST = 256  # samples on either side
_SEEN: dict[str, Memo[np.ndarray]] = {}  # by extractor: many cells have the same reference


def frechet_distance(features: np.ndarray, reference: np.ndarray) -> float:
    """Squared Frechet distance of the Gaussians fitted to (N, D) and (M, D) features."""
    means = features.mean(axis=0, dtype=np.float64) - reference.mean(axis=0, dtype=np.float64)
    ours, theirs = (np.cov(f, rowvar=False, dtype=np.float64) for f in (features, reference))
    # The trace of the square root of a product is the sum of its eigenvalues' roots.
    roots = np.sqrt(np.linalg.eigvals(ours @ theirs).astype(complex)).real.sum()
    return float(means @ means + np.trace(ours) + np.trace(theirs) - 2 * roots)


def set_distance(features: np.ndarray, reference: np.ndarray) -> SetScore:
    """The Frechet distance of (N, D) and (M, D) features; undefined for too few samples."""
    fewest = min(len(features), len(reference))
    needed = max(LEAST, features.shape[1] + 1)
    if fewest < needed:
        return SetScore(None, fewest, f"{fewest} samples; at least {needed} are needed")
    return SetScore(frechet_distance(features, reference), fewest)


def _features(extractor: str, frames: np.ndarray) -> np.ndarray:
    """(K, D) features: one for each frame, or one for the video. Raises MissingExtractor."""
    if extractor == "world-tiny":
        return world_clip().encode_image(frames).numpy()
    if extractor == "inception-v3":
        return inception.features(inception.inception(), frames)
    return i3d.features(i3d.i3d(), frames)


class Frechet(SetMetric):
    """Frechet distance between all frames of a row (by I3D: all videos) and those of the sources
    (``frechet``), or of the true answers (``oracle_frechet``), each clip and edit of which counts
    once. n is the smaller number of samples; below 256, or fewer than features, none is given."""

    extent = CELLS
    extractors = ("world-tiny", "inception-v3", "i3d")
    range = (0.0, float("inf"))
    citation = "Heusel et al. 2017 (FID), Unterthiner et al. 2018 (FVD, by I3D)"

    def __init__(self, of_oracle: bool, extractor: str) -> None:
        self.of_oracle, self.name = of_oracle, "oracle_frechet" if of_oracle else "frechet"
        super().__init__(extractor)

    @classmethod
    def recipes(cls) -> dict[str, Callable[[], Metric]]:
        made = [partial(cls, oracle, by) for oracle in (False, True) for by in cls.extractors]
        return {make().recipe: make for make in made}

    @property
    def higher_is_better(self) -> bool | None:
        """Nearer to the truth is better; nearness to the source only describes."""
        return False if self.of_oracle else None

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        published = {"inception-v3": inception.EXTRACTOR, "i3d": i3d.EXTRACTOR}
        if self.extractor in published:
            return published[self.extractor].digest()
        return world_clip_digest()

    def share(self, sample: Sample) -> Share | str:
        problem = no_oracle(sample) if self.of_oracle else ""
        if problem:
            return problem
        reference = sample.edit.oracle if self.of_oracle else sample.clip.frames
        shortest = min(len(sample.frames), len(reference))
        if self.extractor == "i3d" and shortest < i3d.SHORTEST:
            return f"videos of {shortest} frames; I3D needs {i3d.SHORTEST}"
        known = _SEEN.setdefault(self.extractor, Memo())
        return Share(
            _features(self.extractor, sample.frames),
            known.get(reference, lambda: _features(self.extractor, reference)),
        )

    def combine(self, members: Sequence[Member]) -> SetScore:
        if not members:
            return SetScore(None, 0, "no samples")
        # The source is a clip's, the true answer an edit's; however many cells were made of it.
        once = {(m.clip, m.edit if self.of_oracle else ""): m.share.reference for m in members}
        samples = np.concatenate([member.share.samples for member in members])
        return set_distance(samples, np.concatenate(list(once.values())))
