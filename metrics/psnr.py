"""Peak signal-to-noise ratio: to the source, to it outside the objects, and to the oracle."""

from __future__ import annotations

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.pixels import PSNR_CAP, no_oracle, psnr, same_shape, untouched


class _Psnr(Metric):
    unit = "dB"
    range = (0.0, PSNR_CAP)
    citation = "10 log10(1 / MSE) per frame over RGB in [0, 1], identical frames as 100 dB"


class SourcePsnr(_Psnr):
    """PSNR to the source, whole frames: what a reconstruction is judged by."""

    recipe = "psnr@source"
    higher_is_better = None

    def compute(self, sample: Sample) -> Score:
        problem = same_shape(sample)
        if problem:
            return Score(None, reason=problem)
        values = psnr(sample.frames, sample.clip.frames)
        return Score(float(values.mean()), tuple(values))


class OutsidePsnr(_Psnr):
    """PSNR to the source over the pixels outside the objects, where nothing was to change."""

    recipe = "psnr_outside@source"
    higher_is_better = True

    def compute(self, sample: Sample) -> Score:
        outside, reason = untouched(sample)
        if outside is None:
            return Score(None, reason=reason)
        values = psnr(sample.frames, sample.clip.frames, outside)
        return Score(float(np.nanmean(values)), tuple(values))


class OraclePsnr(_Psnr):
    """PSNR to the oracle video, the true answer."""

    recipe = "oracle_psnr@rgb"
    higher_is_better = True

    def compute(self, sample: Sample) -> Score:
        problem = no_oracle(sample)
        if problem:
            return Score(None, reason=problem)
        values = psnr(sample.frames, sample.edit.oracle)
        return Score(float(values.mean()), tuple(values))
