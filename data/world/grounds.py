"""Textured grounds as smooth functions of the plane, so that a panning camera stays exact.

Value noise comes from an integer hash of lattice coordinates: the same bytes on every machine and
with every NumPy.
"""

from __future__ import annotations

import numpy as np


def _hash(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Uniform values in [0, 1) from integer lattice coordinates (32-bit avalanche hash)."""
    h = x.astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
    h ^= y.astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= np.uint32((seed * 0xC2B2AE3D) & 0xFFFFFFFF)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return h / 2.0**32


def noise(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Smooth value noise in [-1, 1] with lattice spacing 1."""
    x0, y0 = np.floor(x), np.floor(y)
    u, v = x - x0, y - y0
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    corner = [[_hash(x0 + i, y0 + j, seed) for i in (0, 1)] for j in (0, 1)]
    top = corner[0][0] * (1 - u) + corner[0][1] * u
    bottom = corner[1][0] * (1 - u) + corner[1][1] * u
    return 2 * (top * (1 - v) + bottom * v) - 1


def _mix(a: tuple[int, ...], b: tuple[int, ...], share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0.0, 1.0)[..., None]
    return np.asarray(a, float) * (1 - share) + np.asarray(b, float) * share


def _pulse(distance: np.ndarray, width: float) -> np.ndarray:
    """1 on a line, falling to 0 within about one pixel of ``width``."""
    return np.clip((width + 0.8 - distance) / 1.2, 0.0, 1.0)


def _periodic(x: np.ndarray, period: float) -> np.ndarray:
    """Distance to the nearest multiple of ``period``."""
    return np.abs((x + period / 2) % period - period / 2)


def ground_colour(ground: str, x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """(..., 3) colours in [0, 255] of a ground at plane coordinates ``x``, ``y`` (pixels)."""
    n = noise(x / 9, y / 9, seed)
    phase = 2 * np.pi * _hash(np.zeros(1), np.zeros(1), seed)
    if ground == "grass":
        blades = np.sin(2 * np.pi * (x + 0.35 * y) / 7 + 1.2 * n + phase)
        return _mix((70, 120, 45), (125, 165, 75), 0.5 + 0.5 * blades)
    if ground == "sand":
        ripples = np.sin(2 * np.pi * y / 11 + 0.9 * np.sin(2 * np.pi * x / 40 + phase) + 0.5 * n)
        return _mix((190, 158, 105), (228, 204, 152), 0.5 + 0.5 * ripples)
    if ground == "water":
        waves = np.sin(2 * np.pi * (y + 3 * np.sin(2 * np.pi * x / 21 + phase)) / 10 + 0.6 * n)
        return _mix((25, 85, 125), (80, 150, 180), 0.5 + 0.5 * waves)
    if ground == "brick":
        row = np.floor(y / 10)
        mortar = np.maximum(
            _pulse(_periodic(y, 10), 0.7), _pulse(_periodic(x + 9 * (row % 2), 18), 0.7)
        )
        return _mix((150, 78, 66), (205, 185, 172), mortar) * (1 + 0.06 * n[..., None])
    if ground == "snow":
        return _mix((196, 208, 226), (236, 241, 248), 0.5 + 0.8 * n)
    if ground == "night":
        cell_x, cell_y = np.floor(x / 13), np.floor(y / 13)
        star_x = 13 * (cell_x + 0.25 + 0.5 * _hash(cell_x, cell_y, seed + 1))
        star_y = 13 * (cell_y + 0.25 + 0.5 * _hash(cell_x, cell_y, seed + 2))
        star = _pulse(np.sqrt((x - star_x) ** 2 + (y - star_y) ** 2), 1.0)
        sky = _mix((18, 20, 48), (38, 36, 78), 0.5 + 0.6 * n)
        return sky + star[..., None] * (np.array([225.0, 220.0, 190.0]) - sky)
    raise KeyError(ground)
