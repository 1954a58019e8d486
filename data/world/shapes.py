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
    distance = np.full(points.shape[:-1], np.inf)
    inside = np.zeros(points.shape[:-1], dtype=bool)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge, to_point = b - a, points - a
        t = np.clip((to_point @ edge) / (edge @ edge), 0.0, 1.0)
        distance = np.minimum(distance, np.sum((to_point - t[..., None] * edge) ** 2, axis=-1))
        crosses = (a[1] <= points[..., 1]) != (b[1] <= points[..., 1])
        if edge[1] != 0:
            inside ^= crosses & (points[..., 0] < a[0] + to_point[..., 1] * edge[0] / edge[1])
    return np.where(inside, -1.0, 1.0) * np.sqrt(distance)


def signed_distance(shape: str, points: np.ndarray) -> np.ndarray:
    """Signed distance of (..., 2) local points (x right, y down, unit radius) to a shape's edge."""
    radius = np.sqrt(np.sum(points**2, axis=-1))
    if shape == "circle":
        return radius - 1.0
    if shape == "ring":
        return np.abs(radius - _RING[0]) - _RING[1]
    if shape == "square":
        outside = np.abs(points) - _SQUARE
        return np.sqrt(np.sum(np.maximum(outside, 0.0) ** 2, axis=-1)) + np.minimum(
            outside.max(axis=-1), 0.0
        )
    if shape == "triangle":
        return _polygon(points, _corners(3, (_TRIANGLE,)))
    if shape == "star":
        return _polygon(points, _corners(10, (_OUTER, _INNER)))
    raise KeyError(shape)
