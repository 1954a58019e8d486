"""PIE-Bench's own figures (Ju et al. 2024), habits included, for comparison with its tables.

Both pictures are black inside the mask, and means run over the whole canvas: pixels inside count as
agreement, so that PSNR and SSIM grow with the mask. The mask is the source's, and its border of one
pixel is always inside. ``structure_distance@pie-compat`` stands beside the corrected one. Values
are those of the program's table; the paper prints MSE x 10^4, SSIM x 10^2 and LPIPS x 10^3.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.feature_distance import feature_distance
from metrics.nets import hf_clip, lpips
from metrics.pixels import PSNR_CAP, as_float, mse, psnr, same_shape
from metrics.ssim import RADIUS, ssim

_CLIP = "clip-vit-large-patch14"
_CITATION = "Ju et al. 2024 (PnP Inversion), evaluation/matrics_calculator.py"


def edit_mask(masks: np.ndarray) -> np.ndarray:
    """(N, H, W) pixels inside, from the (K, N, H, W) masks of the source's objects."""
    inside = masks.any(axis=0)
    inside[:, [0, -1], :] = inside[:, :, [0, -1]] = True
    return inside


class _Outside(Metric):
    """A figure over frames and source, both black inside the mask."""

    citation = _CITATION
    smallest: ClassVar[int] = 1

    @abstractmethod
    def _values(self, frames: np.ndarray, source: np.ndarray) -> np.ndarray:
        """(N,) figures of (N, H, W, 3) frames in [0, 1]."""

    def compute(self, sample: Sample) -> Score:
        problem = "no object masks are known for this clip" if sample.clip.masks is None else ""
        problem = problem or same_shape(sample)
        if not problem and min(sample.frames.shape[1:3]) < self.smallest:
            problem = f"frames of at least {self.smallest} pixels are needed"
        if problem:
            return Score(None, reason=problem)
        outside = ~edit_mask(sample.clip.masks)[..., None]
        if not outside.any(axis=(1, 2, 3)).all():
            return Score(None, reason="the objects fill the frame")
        frames, source = (as_float(v) * outside for v in (sample.frames, sample.clip.frames))
        values = self._values(frames, source)
        return Score(float(values.mean()), tuple(values))


class PiePsnr(_Outside):
    """PSNR of the unedited part; identical pictures, infinite in the program, are 100 dB."""

    recipe = "psnr_outside@pie-compat"
    unit = "dB"
    higher_is_better = True
    range = (0.0, PSNR_CAP)

    def _values(self, frames: np.ndarray, source: np.ndarray) -> np.ndarray:
        return psnr(frames, source)


class PieMse(_Outside):
    """MSE of the unedited part."""

    recipe = "mse_outside@pie-compat"
    higher_is_better = False
    range = (0.0, 1.0)

    def _values(self, frames: np.ndarray, source: np.ndarray) -> np.ndarray:
        return mse(frames, source)


class PieSsim(_Outside):
    """SSIM of the unedited part, over windows within the canvas, as torchmetrics counted them
    until 1.4.1 and so in the published tables; later versions also count the rim of 5 pixels."""

    recipe = "ssim_outside@pie-compat"
    higher_is_better = True
    range = (-1.0, 1.0)
    smallest = 2 * RADIUS + 1

    def _values(self, frames: np.ndarray, source: np.ndarray) -> np.ndarray:
        return ssim(frames, source)


class PieLpips(_Outside):
    """LPIPS (SqueezeNet) of the unedited part."""

    recipe = "lpips_outside@pie-compat"
    higher_is_better = False
    range = (0.0, float("inf"))
    smallest = 32

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        return lpips.EXTRACTORS["squeeze"].digest()

    def _values(self, frames: np.ndarray, source: np.ndarray) -> np.ndarray:
        return feature_distance(lpips.lpips_net("squeeze"), frames, source)


class _Clip(Metric):
    unit = "x100"
    higher_is_better = True
    range = (0.0, 100.0)
    citation = f"{_CITATION}; CLIPScore of torchmetrics, prompts without brackets"

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        return hf_clip.EXTRACTORS[_CLIP].digest()

    def _of(self, frames: np.ndarray, sample: Sample) -> Score:
        prompt = sample.edit.prompt if sample.edit else sample.clip.prompt
        plain = prompt.replace("[", "").replace("]", "")
        cosines = hf_clip.hf_clip(_CLIP).text_cosines(frames, plain)
        scores = np.maximum(100 * cosines, 0)
        return Score(float(scores.mean()), tuple(scores))


class PieClip(_Clip):
    """Cosine x 100 of frames and target prompt, negative ones as 0."""

    recipe = "clip_text@pie-compat"

    def compute(self, sample: Sample) -> Score:
        return self._of(sample.frames, sample)


class PieClipInside(_Clip):
    """The same of frames that are black outside the mask."""

    recipe = "clip_text_inside@pie-compat"

    def compute(self, sample: Sample) -> Score:
        if sample.clip.masks is None:
            return Score(None, reason="no object masks are known for this clip")
        problem = same_shape(sample)
        if problem:
            return Score(None, reason=problem)
        inside = edit_mask(sample.clip.masks)[..., None]
        return self._of((sample.frames * inside).astype(np.uint8), sample)
