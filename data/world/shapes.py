"""Signed distances of the world's shapes, in units of the object's radius (negative inside)."""

from __future__ import annotations

import numpy as np

_OUTER, _INNER = 1.32, 0.56  # star radii
_TRIANGLE = 1.28  # circumradius
_SQUARE = 0.88  # half side
_RING = (0.80, 0.36)  # middle radius, half width


def _corners(n: int, radii: tuple[float, ...]) -> np.ndarray:
    """(n, 2) polygon corners, first one pointing up, alternating over ``radii``."""
    angle = -np.pi / 2 + 2 * np.pi * np.arange(n) / n
    radius = np.resize(np.asarray(radii), n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def _polygon(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Exact signed distance of (..., 2) points to a closed polygon of (n, 2) corners."""
    x, y = points[..., 0], points[..., 1]
    squared = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    ends = np.concatenate([corners[1:], corners[:1]])
    for (ax, ay), (bx, by) in zip(corners.tolist(), ends.tolist(), strict=True):
        ex, ey = bx - ax, by - ay
        dx, dy = x - ax, y - ay
        t = np.clip((dx * ex + dy * ey) / (ex * ex + ey * ey), 0.0, 1.0)
        squared = np.minimum(squared, (dx - t * ex) ** 2 + (dy - t * ey) ** 2)
        if ey != 0:
            inside ^= ((ay <= y) != (by <= y)) & (x < ax + dy * ex / ey)
    return np.where(inside, -1.0, 1.0) * np.sqrt(squared)


def signed_distance(shape: str, points: np.ndarray) -> np.ndarray:
    """Signed distance of (..., 2) local points (x right, y down, unit radius) to a shape's edge."""
    x, y = points[..., 0], points[..., 1]
    radius = np.sqrt(x * x + y * y)
    if shape == "circle":
        return radius - 1.0
    if shape == "ring":
        return np.abs(radius - _RING[0]) - _RING[1]
    if shape == "square":
        across, down = np.abs(x) - _SQUARE, np.abs(y) - _SQUARE
        outside = np.sqrt(np.maximum(across, 0.0) ** 2 + np.maximum(down, 0.0) ** 2)
        return outside + np.minimum(np.maximum(across, down), 0.0)
    if shape == "triangle":
        return _polygon(points, _corners(3, (_TRIANGLE,)))
    if shape == "star":
        return _polygon(points, _corners(10, (_OUTER, _INNER)))
    raise KeyError(shape)
