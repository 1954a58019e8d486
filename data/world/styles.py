"""Styles as exact operations on finished uint8 frames."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_LUMA = np.array([0.299, 0.587, 0.114])


def _sketch(frames: np.ndarray) -> np.ndarray:
    """Coloured pencil: pale fills on paper, dark lines where the brightness changes."""
    luma = ndimage.gaussian_filter(frames @ _LUMA, (0, 0.6, 0.6), mode="nearest")
    edge = np.hypot(ndimage.sobel(luma, 1, mode="nearest"), ndimage.sobel(luma, 2, mode="nearest"))
    line = np.clip(edge / 500.0 - 0.35, 0.0, 1.0)[..., None]
    return (150.0 + 0.42 * frames) * (1 - 0.85 * line)


def _mosaic(frames: np.ndarray) -> np.ndarray:
    """4x4 tiles of one colour each."""
    n, h, w, c = frames.shape
    tiles = frames.reshape(n, h // 4, 4, w // 4, 4, c).mean(axis=(2, 4), keepdims=True)
    return np.broadcast_to(tiles, (n, h // 4, 4, w // 4, 4, c)).reshape(frames.shape)


def _watercolour(frames: np.ndarray) -> np.ndarray:
    """Flat washes: a 5x5 median, thinned towards warm paper."""
    wash = ndimage.median_filter(frames, size=(1, 5, 5, 1), mode="nearest")
    wash = ndimage.gaussian_filter(wash, (0, 0.8, 0.8, 0), mode="nearest")
    return 0.72 * wash + 0.28 * np.array([255.0, 250.0, 235.0])


_STYLES = {"sketch": _sketch, "mosaic": _mosaic, "watercolour": _watercolour}


def quantise(frames: np.ndarray) -> np.ndarray:
    """Float values in [0, 255] to uint8, halves up.

    Rounding to nine digits first keeps a last-bit difference between machines out of the bytes.
    """
    return np.floor(np.clip(np.round(frames, 9), 0, 255) + 0.5).astype(np.uint8)


def apply_style(style: str, frames: np.ndarray) -> np.ndarray:
    """Apply a style to (N, H, W, 3) uint8 frames; ``photo`` leaves them as they are."""
    if style == "photo":
        return frames
    return quantise(_STYLES[style](frames.astype(np.float64)))
