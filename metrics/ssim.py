"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from metrics.compared import Compared
from metrics.pixels import as_float, mean_over

RADIUS = 5  # pixels: the Gaussian window of sigma 1.5 is 11 wide


def ssim(frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """(N,) SSIM of (N, H, W, 3) frames: mean over RGB and over the windows that lie wholly within
    the frame and within the (N, H, W) pixels chosen; NaN for a frame without such a window.

    Gaussian window of sigma 1.5, population covariance, K1 = 0.01 and K2 = 0.03, as in the paper.
    Raises ValueError below 11 pixels a side.
    """
    from skimage.metrics import structural_similarity

    maps = np.stack(
        [
            structural_similarity(
                a,
                b,
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                channel_axis=-1,
                full=True,
            )[1].mean(axis=-1)
            for a, b in zip(as_float(frames), as_float(reference), strict=True)
        ]
    )
    inner = np.s_[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
    if where is None:
        return mean_over(maps[inner], None)
    window = np.ones((1, 2 * RADIUS + 1, 2 * RADIUS + 1), bool)
    return mean_over(maps[inner], ndimage.binary_erosion(where, window)[inner])


class Ssim(Compared):
    """SSIM over the pixels compared: to the source in all, outside or inside the objects (``ssim``,
    ``ssim_outside``, ``ssim_inside``: windows wholly there), or to the oracle video."""

    name = "ssim"
    greater_is_nearer = True
    smallest = 2 * RADIUS + 1
    range = (-1.0, 1.0)
    margin = 0.005
    citation = "Wang et al. 2004, Gaussian window 11 (sigma 1.5), mean over RGB"

    def values(
        self, frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None
    ) -> np.ndarray:
        return ssim(frames, reference, where)
