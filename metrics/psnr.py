"""Peak signal-to-noise ratio: what a reconstruction is judged by, and how near the truth is."""

from __future__ import annotations

import numpy as np

from metrics.compared import Compared
from metrics.pixels import PSNR_CAP, psnr


class Psnr(Compared):
    """PSNR in dB over the pixels compared: to the source in all, outside or inside the objects
    (``psnr``, ``psnr_outside``, ``psnr_inside``), or to the oracle video, the true answer."""

    name = "psnr"
    unit = "dB"
    greater_is_nearer = True
    range = (0.0, PSNR_CAP)
    margin = 0.1
    citation = "10 log10(1 / MSE) per frame over RGB in [0, 1], identical frames as 100 dB"

    def values(
        self, frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None
    ) -> np.ndarray:
        return psnr(frames, reference, where)
