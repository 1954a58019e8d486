"""Find the colour, shape and pose whose rendering comes closest to the picture around a blob.

Analysis by synthesis in two passes. A coarse grid of poses is compared with flat styled colours,
for all shapes and colours. From the best pose of each shape the true renderer, style and all,
descends to the nearest picture: only so are a sketch's double lines or a mosaic's tiles no riddle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

from data.world.render import RIM, composite, render_frames, to_local
from data.world.scene import Scene
from data.world.shapes import signed_distance
from data.world.styles import apply_style, quantise
from data.world.vocabulary import COLOURS, OUTLINE, SHAPES, SIZE

WORST = 70.0  # grey levels; a pixel further off counts as this far, so that clutter weighs little
_FILLS = np.array(list(COLOURS.values()), float)  # (C, 3)
_TURN = {  # radians after which a shape looks the same; 0: always
    "circle": 0.0,
    "ring": 0.0,
    "square": np.pi / 2,
    "triangle": 2 * np.pi / 3,
    "star": 2 * np.pi / 5,
}
_ANGLES = {"circle": 1, "ring": 1, "square": 5, "triangle": 7, "star": 5}  # tried per turn
_AREA = {"circle": 3.14, "ring": 4.23, "square": 3.1, "triangle": 2.13, "star": 2.17}  # filled in
_SCALES = (0.95, 1.1, 1.3, 1.55)  # a star's blob may have lost its arms
_SKETCHED_RIM = np.array([40.0, 40.0, 44.0])  # a sketch's rim is all line

Pose = tuple[float, float, float, float]  # x, y, radius in pixels; angle in radians


@dataclass(frozen=True)
class Found:
    """One object read from a picture."""

    colour: str
    shape: str
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels
    error: float  # RMS difference to the best rendering, in grey levels, at most ``WORST``


def _distance(shape: str, points: np.ndarray, pose: Pose) -> np.ndarray:
    """Signed pixels from (..., 2) points to the shape's edge."""
    x, y, radius, angle = pose
    return signed_distance(shape, to_local(points, x, y, radius, angle)) * radius


def _off(pictures: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """(...) squared difference of (..., 3) pixels, at most ``WORST`` squared."""
    away = pictures - picture
    return np.minimum(np.einsum("...c,...c->...", away, away) / 3, WORST**2)


class _Window:
    """The part of a picture around a blob, cut along a mosaic's tiles."""

    def __init__(self, frame: np.ndarray, style: str, ground: str, blob: np.ndarray) -> None:
        rows, columns = blob.any(axis=1).nonzero()[0], blob.any(axis=0).nonzero()[0]
        self.box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        cut = tuple(
            slice(max(0, int(at[0]) - 7) // 4 * 4, min(SIZE, (int(at[-1]) + 11) // 4 * 4))
            for at in (rows, columns)
        )
        y, x = np.mgrid[cut]
        self.points = np.stack([x, y], axis=-1) + 0.5  # (h, w, 2)
        self.picture = frame[cut].astype(float)  # (h, w, 3)
        self.blob = blob[cut]
        self.near = ndimage.binary_dilation(blob, iterations=5)[cut]
        self.style = style
        self.ground = render_frames(Scene(ground, ()), [0]).mean(axis=(0, 1, 2))  # unstyled

    def render(self, shape: str, pose: Pose, fills: np.ndarray) -> np.ndarray:
        """(C, h, w, 3) styled pictures of an object in (C, 3) colours on the plain ground."""
        distance = _distance(shape, self.points, pose)
        flat = np.broadcast_to(fills[:, None, None], (len(fills), *distance.shape, 3))
        return apply_style(self.style, quantise(composite(self.ground, distance, flat)))

    def error(self, shape: str, pose: Pose, fill: np.ndarray) -> float:
        """Mean squared difference to the rendering near the blob."""
        return float(_off(self.render(shape, pose, fill[None])[0], self.picture)[self.near].mean())

    def colour(self, shape: str, pose: Pose) -> int:
        """The fill whose rendering has the picture's median colour within the rim."""
        pictures = self.render(shape, pose, _FILLS).astype(float)
        distance = _distance(shape, self.points, pose)
        for rim in (RIM + (2 if self.style == "sketch" else 1), RIM - 0.5):
            inner = distance < -rim
            if inner.sum() >= 8:
                away = np.median(pictures[:, inner], axis=1) - np.median(
                    self.picture[inner], axis=0
                )
                return int((away**2).sum(axis=1).argmin())
        return int(_off(pictures, self.picture)[:, self.near].mean(axis=1).argmin())


def _flat(colour: np.ndarray, style: str) -> np.ndarray:
    """(3,) what a flat area of a colour becomes in a style."""
    area = np.broadcast_to(colour, (1, 8, 8, 3))
    return apply_style(style, quantise(area))[0, 4, 4].astype(float)


def _coarse(window: _Window) -> list[tuple[float, str, Pose, int]]:
    """(error, shape, pose, index of the fill) of the best coarse pose of each shape."""
    style, near, blob = window.style, window.near, window.blob
    points, pixels = window.points[near], window.picture[near]
    fills = np.stack([_flat(fill, style) for fill in _FILLS])[:, None]  # (C, 1, 3)
    outline = _SKETCHED_RIM if style == "sketch" else _flat(np.array(OUTLINE, float), style)
    rim = 0.0 if style == "watercolour" else RIM
    around = near & ~ndimage.binary_dilation(blob, iterations=2)
    ground = np.median(window.picture[around if around.any() else near], axis=0)
    x, y = window.points[blob].mean(axis=0).tolist()
    best = []
    for shape in SHAPES:
        base, tried = np.sqrt(blob.sum() / _AREA[shape]), []
        for radius in base * np.array(_SCALES):
            for angle in np.arange(_ANGLES[shape]) * _TURN[shape] / _ANGLES[shape]:
                pose = (x, y, float(radius), float(angle))
                distance = _distance(shape, points, pose)
                cover = np.clip(0.5 - distance, 0, 1)[:, None]
                core = np.clip(0.5 - (distance + rim), 0, 1)[:, None]
                rest = pixels - ground * (1 - cover) - outline * (cover - core)
                errors = _off(core * fills, rest).mean(axis=1)
                tried.append((float(errors.min()), shape, pose, int(errors.argmin())))
        best.append(min(tried))
    return best


def _refine(
    window: _Window, shape: str, pose: Pose, fill: np.ndarray, step: float, most: int
) -> tuple[float, Pose]:
    """(error, pose) after a descent of at most ``most`` renderings, with its first steps' size."""
    free = 4 if _TURN[shape] else 3  # a circle has no angle
    start = np.array(pose[:free])
    steps = step * np.array([1.5, 1.5, 1.2, _TURN[shape] / 12])[:free]
    # The start lies within the first simplex, not on its edge.
    simplex = np.concatenate([start[None], start + np.diag(steps)]) - steps / 3

    def full(free_pose: np.ndarray) -> Pose:
        return (*free_pose.tolist(), 0.0)[:4]

    found = minimize(
        lambda free_pose: window.error(shape, full(free_pose), fill),
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": most, "xatol": 0.05, "fatol": 0.5},
    )
    return float(found.fun), full(found.x)


def fit(frame: np.ndarray, style: str, ground: str, blob: np.ndarray) -> Found:
    """The object that a (64, 64) bool blob of a (64, 64, 3) uint8 picture is."""
    window = _Window(frame, style, ground, blob)
    first = []
    for _, shape, pose, index in _coarse(window):
        first.append((*_refine(window, shape, pose, _FILLS[index], 1.0, 20), shape))
    last = []
    for _, pose, shape in sorted(first)[:2]:
        index = window.colour(shape, pose)
        _, pose = _refine(window, shape, pose, _FILLS[index], 0.5, 40)
        index = window.colour(shape, pose)
        last.append((window.error(shape, pose, _FILLS[index]), shape, index))
    error, shape, index = min(last)
    return Found(list(COLOURS)[index], shape, window.box, float(np.sqrt(error)))
