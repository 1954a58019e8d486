"""Render a talking face: frames, and the truth about them (masks, boxes, landmarks)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.portraits import face as world
from data.portraits.face import SIZE, Face, Motion
from data.world.grounds import noise
from data.world.styles import quantise

OPEN = 4.6  # pixels, half the height of a fully open mouth's inside
LIP = 1.3  # pixels, thickness of a lip
THIN = 0.5  # pixels
LANDMARKS = (
    "left eye", "right eye", "nose", "left corner", "right corner", "upper lip", "lower lip",
    "chin",
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What is known of N rendered frames: of the head first, then of lips and what is between."""

    masks: np.ndarray  # (2, N, H, W) bool
    boxes: np.ndarray  # (2, N, 4) x0, y0, x1, y1: the face's contour, the lips
    landmarks: np.ndarray  # (N, 8, 2) x, y, in the order of LANDMARKS


class _Canvas:
    """N frames in the coordinates of the head: x right, y down, from its middle."""

    def __init__(self, face: Face, motion: Motion) -> None:
        axis = np.arange(SIZE) + 0.5
        gx, gy = np.meshgrid(axis, axis, indexing="xy")
        self.grid = gx, gy
        self.x = gx - face.x - motion.x[:, None, None]  # (N, H, W)
        self.y = gy - face.y - motion.y[:, None, None]
        self.frames = np.empty((*self.x.shape, 3))

    def ellipse(self, x: float, y: float, rx, ry) -> np.ndarray:
        """(N, H, W) share of each pixel inside an ellipse of the head's coordinates."""
        return cover(self.x - x, self.y - y, rx, ry)

    def paint(self, share: np.ndarray, colour) -> None:
        """Lay a colour over the frames where ``share`` says."""
        self.frames += share[..., None] * (np.asarray(colour, float) - self.frames)


def cover(dx: np.ndarray, dy: np.ndarray, rx, ry) -> np.ndarray:
    """Share of a pixel inside an ellipse: its distance to the edge, to first order.

    An ellipse thinner than half a pixel is as thin as that, and as much fainter.
    """
    thin = np.reshape(np.clip(ry / THIN, 0.0, 1.0), (-1, 1, 1))
    rx, ry = (np.reshape(np.maximum(r, THIN), (-1, 1, 1)) for r in (rx, ry))
    level = np.sqrt((dx / rx) ** 2 + (dy / ry) ** 2)
    slope = np.sqrt((dx / rx**2) ** 2 + (dy / ry**2) ** 2) / np.maximum(level, 1e-9)
    return thin * np.clip(0.5 - (level - 1) / np.maximum(slope, 1e-9), 0.0, 1.0)


def _mouth_y(face: Face) -> float:
    return 0.5 * face.half_height


def _hair(canvas: _Canvas, face: Face) -> np.ndarray:
    """(N, H, W) share of hair over the forehead, and beside the face where it is long."""
    cap = canvas.ellipse(0, -0.8, face.half_width + 1.6, face.half_height + 1.8)
    line = {"short": -0.5, "long": -0.55, "fringe": -0.36}[face.cut] * face.half_height
    arch = 0.0 if face.cut == "fringe" else 0.35
    hairline = line - arch * (canvas.x**2 / face.half_width - 0.25 * face.half_width)
    hairline = np.where(np.abs(canvas.x) < face.half_width, hairline, line + 4)
    return cap * np.clip(hairline + 3 * arch - canvas.y, 0.0, 1.0)


def render_frames(face: Face, motion: Motion, opening: np.ndarray) -> np.ndarray:
    """(N, 64, 64, 3) uint8 frames of a face that moves and whose mouth is open by (N,) shares."""
    c = _Canvas(face, motion)
    gx, gy = c.grid
    skin, hair = (
        np.asarray(world.SKINS[face.skin], float),
        np.asarray(world.HAIRS[face.hair], float),
    )
    clouds = noise(gx / 15, gy / 15, face.grain)
    c.frames[:] = np.asarray(world.GROUNDS[face.ground], float) * (1 + 0.07 * clouds[..., None])
    body = cover(gx - face.x, gy - 71.0, 26.0, 17.0)
    if face.cut == "long":
        c.paint(c.ellipse(0, 3, face.half_width + 3.5, face.half_height + 3.0), hair * 0.85)
    c.paint(body, world.SHIRTS[face.shirt])
    neck = np.clip(7.5 - np.abs(c.x), 0, 1) * np.clip(c.y - 8, 0, 1)
    neck *= np.clip(face.y + face.half_height + 6.5 - gy, 0, 1)
    c.paint(neck, 0.86 * skin)
    c.paint(c.ellipse(0, 0, face.half_width, face.half_height), skin)
    shade = c.ellipse(0, 0, face.half_width, face.half_height) * (0.10 * c.x / face.half_width)
    c.frames *= 1 - shade[..., None]
    c.paint(_hair(c, face), hair)
    for side in (-1, 1):
        _eye(c, face, side, motion.lids)
    c.paint(0.35 * c.ellipse(0, 0.2 * face.half_height, 2.2, 1.2), 0.6 * skin)
    lips, inside = _mouth(c, face, opening)
    c.paint(lips, world.LIPS)
    c.paint(inside, world.INSIDE)
    return quantise(c.frames)


def _eye(c: _Canvas, face: Face, side: int, lids: np.ndarray) -> None:
    x, y = side * 0.43 * face.half_width, -0.1 * face.half_height
    skin, hair = (
        np.asarray(world.SKINS[face.skin], float),
        np.asarray(world.HAIRS[face.hair], float),
    )
    brow = c.ellipse(x, y - 4.8, 3.8, face.brow)
    c.paint(brow, 0.5 * hair + 0.2 * skin)
    c.paint(c.ellipse(x, y, 3.4, 0.5), 0.55 * skin)  # the closed lid
    open_eye = c.ellipse(x, y, 3.3, 2.2 * lids) * (lids > 0.15)[:, None, None]
    c.paint(open_eye, (244, 244, 240))
    c.paint(open_eye * c.ellipse(x, y, 1.6, 1.6), world.EYES[face.eyes])


def _mouth(c: _Canvas, face: Face, opening: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of lips (and what is between) and of the inside; an open mouth is narrower."""
    half = face.mouth - 1.2 * opening
    y = _mouth_y(face)
    lips = c.ellipse(0, y, half, LIP + OPEN * opening)
    inside = c.ellipse(0, y, half - 1.4, OPEN * opening) * (opening > 0.02)[:, None, None]
    return lips, inside


def render_truth(face: Face, motion: Motion, opening: np.ndarray) -> Truth:
    """Masks, boxes and landmarks of :func:`render_frames`' frames, from their geometry."""
    c = _Canvas(face, motion)
    head = c.ellipse(0, 0, face.half_width, face.half_height)
    head = np.maximum(head, c.ellipse(0, -0.8, face.half_width + 1.6, face.half_height + 1.8)
                      * (c.y < 0))  # fmt: skip
    if face.cut == "long":
        back = c.ellipse(0, 3, face.half_width + 3.5, face.half_height + 3.0)
        head = np.maximum(head, back)
    lips, _ = _mouth(c, face, opening)
    x, y = face.x + motion.x, face.y + motion.y
    mouth, half = y + _mouth_y(face), face.mouth - 1.2 * opening
    tall = LIP + OPEN * opening
    contour = [x - face.half_width, y - face.half_height, x + face.half_width, y + face.half_height]
    boxes = np.stack(
        [np.stack(contour, 1), np.stack([x - half, mouth - tall, x + half, mouth + tall], 1)]
    )
    aside, above = 0.43 * face.half_width, 0.1 * face.half_height
    points = [
        (x - aside, y - above), (x + aside, y - above), (x, y + 0.2 * face.half_height),
        (x - half, mouth), (x + half, mouth), (x, mouth - tall), (x, mouth + tall),
        (x, y + face.half_height),
    ]  # fmt: skip
    landmarks = np.stack([np.stack(point, axis=1) for point in points], axis=1)
    return Truth(np.stack([head > 0.5, lips > 0.5]), np.round(np.clip(boxes, 0, SIZE), 4),
                 np.round(landmarks, 4))  # fmt: skip
