"""Read a picture of the world back: its style and ground, and each object's colour and shape.

Analysis by synthesis, from pixels alone and with nothing learned. The ground and style are those
whose rendered 8x8 patches explain most of the picture's patches; what does not look like that
ground is an object; its colour, shape and pose are those whose rendering comes closest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from data.world.render import RIM, render_frames
from data.world.scene import Scene
from data.world.shapes import signed_distance
from data.world.vocabulary import COLOURS, GROUNDS, OUTLINE, SHAPES, SIZE, STYLES

_PATCH = 8
# RGB distance within which a pixel passes for ground; a sketch's fills are pale.
_NEAR = {"photo": 36.0, "sketch": 17.0, "mosaic": 36.0, "watercolour": 26.0}
_SMALLEST = 45  # pixels; a smaller patch of non-ground is a fleck, not an object
_SHAPE_ANGLES = {"circle": 1, "ring": 1, "square": 9, "triangle": 12, "star": 8}
_PERIOD = {
    "circle": 1.0,
    "ring": 1.0,
    "square": np.pi / 2,
    "triangle": 2 * np.pi / 3,
    "star": 2 * np.pi / 5,
}
_SCALES = (0.92, 0.99, 1.06, 1.13, 1.2)


@dataclass(frozen=True)
class Found:
    """One object read from a picture."""

    colour: str
    shape: str
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels
    error: float  # RMS difference to the best rendering, in grey levels


@dataclass(frozen=True)
class Reading:
    """What a picture shows; objects from largest to smallest."""

    style: str
    ground: str
    objects: tuple[Found, ...]

    def shows(self, colour: str, shape: str, ground: str) -> bool:
        """True if the largest object and the ground are these."""
        return bool(self.objects) and (
            self.objects[0].colour,
            self.objects[0].shape,
            self.ground,
        ) == (colour, shape, ground)


def _patches(frame: np.ndarray) -> np.ndarray:
    """(64, F) features of the frame's 8x8 patches: colour, contrast, direction, flat tiles."""
    frame = frame.astype(float)
    n = SIZE // _PATCH

    def mean(field: np.ndarray) -> np.ndarray:
        return field.reshape(n, _PATCH, n, _PATCH, -1).mean(axis=(1, 3)).reshape(n * n, -1)

    luma = frame.mean(axis=-1)
    dx = np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    dy = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    tiles = luma.reshape(SIZE // 4, 4, SIZE // 4, 4)
    inside = np.broadcast_to(np.sqrt(tiles.var(axis=(1, 3), keepdims=True)), tiles.shape).reshape(
        SIZE, SIZE
    )
    contrast = np.sqrt(np.maximum(mean(luma**2) - mean(luma) ** 2, 0))
    return np.concatenate([mean(frame), contrast, mean(dx), mean(dy), mean(inside)], axis=1)


@lru_cache(maxsize=1)
def _classes() -> list[tuple[str, str, np.ndarray, np.ndarray, float, np.ndarray]]:
    """(style, ground, feature mean, precision, log determinant, palette) of every empty scene."""
    classes = []
    # What blur or a decoder may change without changing what is shown.
    slack = np.diag(np.array([9.0, 9.0, 9.0, 5.0, 2.5, 2.5, 3.0]) ** 2)
    for style in STYLES:
        for ground in GROUNDS:
            empty = Scene(ground, (), style, pan=(0.37, 0.61))  # every sub-pixel phase
            frames = np.concatenate(
                [render_frames(replace(empty, ground_seed=7919 * k + 17), [k]) for k in range(8)]
            )
            features = np.concatenate([_patches(frame) for frame in frames])
            covariance = np.cov(features.T) + slack
            pixels = frames.reshape(-1, 3)
            cells, counts = np.unique(pixels // 12, axis=0, return_counts=True)
            palette = cells[counts > 0.0002 * len(pixels)] * 12.0 + 6
            classes.append(
                (
                    style,
                    ground,
                    features.mean(0),
                    np.linalg.inv(covariance),
                    np.linalg.slogdet(covariance)[1],
                    palette,
                )
            )
    return classes


def _ground(frame: np.ndarray) -> tuple[str, str, np.ndarray]:
    """Style, ground and palette that explain most patches; a patch costs at most a fixed amount."""
    features, best = _patches(frame), None
    for style, ground, mean, precision, log_det, palette in _classes():
        away = features - mean
        cost = np.minimum(np.einsum("nf,fg,ng->n", away, precision, away) + log_det, 90.0).sum()
        if best is None or cost < best[0]:
            best = (cost, style, ground, palette)
    return best[1:]


@lru_cache(maxsize=1)
def _silhouettes() -> dict[str, float]:
    """Area of each shape's filled outline at unit radius."""
    axis = np.linspace(-1.6, 1.6, 401)
    points = np.stack(np.meshgrid(axis, axis), axis=-1)
    return {
        shape: float(
            ndimage.binary_fill_holes(signed_distance(shape, points) <= 0).sum()
            * (axis[1] - axis[0]) ** 2
        )
        for shape in SHAPES
    }


def _styled(colour: tuple[int, int, int], style: str) -> np.ndarray:
    """What a flat area of a colour becomes in a style."""
    flat = np.asarray(colour, float)
    if style == "sketch":
        return 150 + 0.42 * flat
    if style == "watercolour":
        return 0.72 * flat + 0.28 * np.array([255.0, 250.0, 235.0])
    return flat


def _fit(frame: np.ndarray, style: str, blob: np.ndarray) -> Found:
    """The colour, shape and pose whose rendering is closest to the picture around a blob."""
    filled = ndimage.binary_fill_holes(blob)
    rows, columns = filled.any(axis=1).nonzero()[0], filled.any(axis=0).nonzero()[0]
    cy, cx = (np.array(ndimage.center_of_mass(filled)) + 0.5).tolist()
    near = ndimage.binary_dilation(filled, iterations=3)
    pixels = frame[near].astype(float)  # (P, 3)
    around = near & ~ndimage.binary_dilation(filled, iterations=1)
    ground = np.median(frame[around if around.any() else near], axis=0)
    axis = np.arange(SIZE) + 0.5
    points = np.stack(np.meshgrid(axis, axis), axis=-1)[near] - (cx, cy)  # (P, 2)
    rim = 0.0 if style == "watercolour" else RIM
    outline = _styled(OUTLINE, style) if style != "sketch" else np.array([40.0, 40.0, 44.0])
    fills = np.stack([_styled(colour, style) for colour in COLOURS.values()])  # (C, 3)
    best = (np.inf, 0, "", np.zeros(0))
    for shape in SHAPES:
        base = np.sqrt(filled.sum() / _silhouettes()[shape])
        turns = _SHAPE_ANGLES[shape]
        for scale in _SCALES:
            radius = base * scale
            for angle in np.arange(turns) * _PERIOD[shape] / turns:
                cos, sin = np.cos(angle), np.sin(angle)
                local = (
                    np.stack(
                        [
                            cos * points[:, 0] + sin * points[:, 1],
                            cos * points[:, 1] - sin * points[:, 0],
                        ],
                        axis=-1,
                    )
                    / radius
                )
                distance = signed_distance(shape, local) * radius
                cover = np.clip(0.5 - distance, 0, 1)[:, None]
                core = np.clip(0.5 - (distance + rim), 0, 1)[:, None]
                # picture - (ground (1 - cover) + outline (cover - core) + fill core)
                rest = pixels - ground * (1 - cover) - outline * (cover - core)
                error = (rest**2).sum() - 2 * fills @ (rest * core).sum(0)
                error = error + (fills**2).sum(1) * (core**2).sum()
                index = int(error.argmin())
                if error[index] < best[0]:
                    best = (float(error[index]), index, shape, distance)
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    error, index, shape, distance = best
    inner = distance < -rim - (2 if style == "sketch" else 1)
    if inner.sum() >= 8:  # the fill's own pixels decide the colour, not its rim
        index = int(((fills - np.median(pixels[inner], axis=0)) ** 2).sum(1).argmin())
    return Found(list(COLOURS)[index], shape, box, float(np.sqrt(max(error, 0) / pixels.size)))


def analyse(frame: np.ndarray, most: int = 2) -> Reading:
    """Read a (64, 64, 3) uint8 picture; at most ``most`` objects are looked for."""
    if frame.shape != (SIZE, SIZE, 3) or frame.dtype != np.uint8:
        raise ValueError(
            f"expected a ({SIZE}, {SIZE}, 3) uint8 picture, got {frame.shape} {frame.dtype}"
        )
    style, ground, palette = _ground(frame)
    colours = frame.reshape(-1, 1, 3).astype(float) - palette
    far = (np.sqrt((colours**2).sum(-1)).min(axis=1) > _NEAR[style]).reshape(SIZE, SIZE)
    # A thin rim may be all that shows (white on snow): fill what it encloses before thin lines go.
    far = ndimage.binary_closing(np.pad(far, 3))[3:-3, 3:-3]
    filled = ndimage.binary_opening(ndimage.binary_fill_holes(far), iterations=2)
    labels, count = ndimage.label(filled)
    sizes = ndimage.sum_labels(filled, labels, np.arange(1, count + 1))
    order = [int(k) + 1 for k in np.argsort(-sizes) if sizes[k] >= _SMALLEST][:most]
    return Reading(style, ground, tuple(_fit(frame, style, labels == k) for k in order))
