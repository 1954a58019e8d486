"""Optical flow: estimation, warping, and where a flow cannot be trusted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage

from metrics.pixels import as_float


def warp(frames: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """(M, H, W, C) frames sampled at each pixel plus its flow (M, H, W, 2), bilinearly.

    Beyond the border the border's value is taken. Returns float64.
    """
    m, height, width, channels = frames.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    out = np.empty((m, height, width, channels))
    for index in range(m):
        at = [rows + flow[index, ..., 1], columns + flow[index, ..., 0]]
        for channel in range(channels):
            out[index, ..., channel] = ndimage.map_coordinates(
                frames[index, ..., channel].astype(np.float64), at, order=1, mode="nearest"
            )
    return out


def inconsistent(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """(M, H, W) pixels whose forward flow the backward flow does not undo.

    Source: Lai et al. 2018 (learning blind video temporal consistency), after Sundaram et al.
    2010: |f + b|^2 > 0.01 (|f|^2 + |b|^2) + 0.5, with b sampled where f leads.
    """
    back = warp(backward, forward)
    gap = ((forward + back) ** 2).sum(axis=-1)
    return gap > 0.01 * ((forward**2).sum(axis=-1) + (back**2).sum(axis=-1)) + 0.5


def warp_errors(frames: np.ndarray, flow: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(N - 1,) mean squared error, times 1000, between frame t and frame t + 1 warped back onto it.

    ``flow`` (N - 1, H, W, 2) carries frame t to t + 1; only ``valid`` (N - 1, H, W) pixels count,
    over RGB in [0, 1]. NaN for a pair without valid pixels. Source: Lai et al. 2018, section 4.
    """
    values = as_float(frames)
    error = ((warp(values[1:], flow) - values[:-1]) ** 2).mean(axis=-1)
    count = valid.sum(axis=(1, 2))
    total = (error * valid).sum(axis=(1, 2))
    return 1e3 * np.where(count > 0, total / np.maximum(count, 1), np.nan)


def dis_flow(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forward and backward flow, (N - 1, H, W, 2) pixels, of (N, H, W, 3) uint8 frames (N > 1).

    Dense inverse search (Kroeger et al. 2016) of OpenCV, medium preset at full resolution.
    Raises ValueError below 16 pixels.
    """
    import cv2

    if min(frames.shape[1:3]) < 16:
        raise ValueError("optical flow needs frames of at least 16 pixels")
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in np.ascontiguousarray(frames)]
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)  # full resolution: frames may be small
    pairs = list(pairwise(grey))
    forward = np.stack([estimator.calc(a, b, None) for a, b in pairs])
    backward = np.stack([estimator.calc(b, a, None) for a, b in pairs])
    return forward, backward
