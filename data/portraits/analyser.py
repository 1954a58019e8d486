"""Read from pixels alone how far a portrait's mouth is open, and nothing is learned.

The inside of a mouth is the darkest thing below the nose. Its height, in the columns about its
middle, is how far it is open. Half-covered pixels count half, so a decoder's blur changes little.
"""

from __future__ import annotations

import numpy as np

from data.portraits.face import INSIDE, LIPS, SIZE
from data.portraits.render import OPEN

_LUMA = np.array([0.299, 0.587, 0.114])
_HALF = float((np.array(INSIDE) + LIPS) @ _LUMA / 2)  # grey level of a half-covered pixel
_SOFT = 16.0  # grey levels about it over which a pixel goes from outside to inside
_ROWS, _COLUMNS = slice(33, 52), slice(24, 41)  # where a mouth can be
_LIKELY = (29.0, 35.0)  # its middle, in pixels from the left


def mouth_opening(frames: np.ndarray) -> np.ndarray:
    """(N,) openings, 0 for closed and 1 for fully open, of (N, 64, 64, 3) uint8 portraits.

    Raises ValueError for pictures of another size.
    """
    if frames.shape[1:] != (SIZE, SIZE, 3) or frames.dtype != np.uint8:
        raise ValueError(
            f"expected (N, {SIZE}, {SIZE}, 3) uint8 portraits, got {frames.shape} {frames.dtype}"
        )
    luma = frames[:, _ROWS, _COLUMNS].astype(float) @ _LUMA
    inside = np.clip(0.5 + (_HALF - luma) / (2 * _SOFT), 0, 1)
    columns = inside.sum(axis=1)  # (N, columns): height of what is dark
    at = np.arange(_COLUMNS.start, _COLUMNS.stop) + 0.5
    middle = (columns * at).sum(1) / np.maximum(columns.sum(1), 1e-9)
    middle = np.clip(np.where(columns.sum(1) > 0.5, middle, SIZE / 2), *_LIKELY)
    near = np.clip(2.0 - np.abs(at - middle[:, None]), 0, 1)  # three columns about the middle
    height = (columns * near).sum(1) / near.sum(1)
    return np.minimum(height / (2 * OPEN), 1.0)
