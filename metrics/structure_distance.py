"""How much of the source's structure is lost: DINO's self-similarities, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from metrics.base import Family, Sample, Score
from metrics.memo import Memo
from metrics.nets import dino
from metrics.pixels import same_shape

if TYPE_CHECKING:
    import torch

PIE = "pie-compat"
_known: dict[str, Memo[torch.Tensor]] = {"dino-vitb8": Memo(), PIE: Memo()}


class StructureDistance(Family):
    """MSE x 1000 between the self-similarities of the last keys of DINO ViT-B/8 for frame and
    source. ``pie-compat`` keeps two habits of PIE-Bench's program: levels from 0 to 255 enter
    ImageNet's normalisation, and frames are made smaller without antialiasing."""

    name = "structure_distance"
    extractors: ClassVar[tuple[str, ...]] = tuple(_known)
    unit = "x1000"
    higher_is_better = None  # the identity has none
    range = (0.0, 4000.0)
    citation = "Tumanyan et al. 2022 (Splice), as Tumanyan et al. 2023 (PnP) and PIE-Bench use it"

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        return dino.EXTRACTOR.digest()

    def compute(self, sample: Sample) -> Score:
        problem = same_shape(sample)
        if problem:
            return Score(None, reason=problem)
        pairs = zip(sample.frames, sample.clip.frames, strict=True)
        values = [1e3 * float((self._of(a) - self._of(b)).pow(2).mean()) for a, b in pairs]
        return Score(float(np.mean(values)), tuple(values))

    def _of(self, frame: np.ndarray) -> torch.Tensor:
        """(T, T) self-similarity of an (H, W, 3) frame, remembered for the last few."""
        pie = self.extractor == PIE

        def compute() -> torch.Tensor:
            model = dino.dino()
            pixels = dino.fit(frame, model.patch_embed.patch_size[0], antialias=not pie, levels=pie)
            return dino.key_similarity(model, pixels)

        return _known[self.extractor].get(frame, compute)
