"""Render a scene: frames, and the truth about them (masks, boxes, optical flow, occlusion)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.world.grounds import ground_colour
from data.world.scene import Object, Scene
from data.world.shapes import signed_distance
from data.world.styles import apply_style, quantise
from data.world.vocabulary import COLOURS, OUTLINE, SIZE

RIM = 1.7  # pixels


@dataclass(frozen=True)
class Truth:
    """What is known of N rendered frames of H x W pixels.

    Flow is in pixels (x right, y down). ``flow_forward[t]`` carries pixels of frame t to t + 1,
    ``flow_backward[t]`` those of frame t + 1 to t; a pixel is occluded where its destination is
    covered by something else or lies outside the frame.
    """

    masks: np.ndarray  # (objects, N, H, W) bool: the visible part of each object
    boxes: np.ndarray  # (objects, N, 4) float: x0, y0, x1, y1 of the visible part; NaN if hidden
    flow_forward: np.ndarray  # (N - 1, H, W, 2) float32
    flow_backward: np.ndarray  # (N - 1, H, W, 2) float32
    occluded_forward: np.ndarray  # (N - 1, H, W) bool
    occluded_backward: np.ndarray  # (N - 1, H, W) bool


def _grid() -> np.ndarray:
    """(H, W, 2) pixel centres, x then y."""
    axis = np.arange(SIZE) + 0.5
    return np.stack(np.meshgrid(axis, axis, indexing="xy"), axis=-1)


def to_local(
    points: np.ndarray,
    x: np.ndarray | float,
    y: np.ndarray | float,
    radius: np.ndarray | float,
    angle: np.ndarray | float,
) -> np.ndarray:
    """(..., 2) points in the coordinates of an object with this pose; unit radius."""
    dx, dy = points[..., 0] - x, points[..., 1] - y
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * dx + sin * dy, cos * dy - sin * dx], axis=-1) / np.expand_dims(
        radius, -1
    )


def composite(canvas: np.ndarray, distance: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """(..., 3) picture of an object, rim and fill, over a canvas.

    ``distance`` (...) is signed, in pixels, negative inside; ``fill`` is (..., 3).
    """
    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    core = np.clip(0.5 - (distance + RIM), 0, 1)[..., None]
    return canvas * (1 - cover) + cover * (np.asarray(OUTLINE, float) * (1 - core) + fill * core)


def _local(obj: Object, points: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Object coordinates (N, H, W, 2) of (N or 1, H, W, 2) points at (N,) times, and the radii."""
    x, y, radius, angle = (value[:, None, None] for value in obj.pose(t))
    return to_local(points, x, y, radius, angle), radius


def _paint(canvas: np.ndarray, obj: Object, t: np.ndarray) -> np.ndarray:
    local, radius = _local(obj, _grid()[None], t)
    grain = 1 + 0.09 * np.sin(2 * np.pi * 1.1 * local[..., :1])  # turns with the object
    fill = np.asarray(COLOURS[obj.colour], float) * grain
    return composite(canvas, signed_distance(obj.shape, local) * radius, fill)


def render_frames(scene: Scene, frames: range | list[int] | None = None) -> np.ndarray:
    """(N, H, W, 3) uint8 frames of a scene, or of the given frame indices only."""
    t = np.asarray(range(scene.n_frames) if frames is None else frames, dtype=float)
    grid = _grid()[None]
    pan = np.asarray(scene.pan)[None, None, None] * t[:, None, None, None]
    plane = grid - pan
    canvas = ground_colour(scene.ground, plane[..., 0], plane[..., 1], scene.ground_seed)
    for obj in scene.objects:
        canvas = _paint(canvas, obj, t)
    return apply_style(scene.style, quantise(canvas))


def _owner(scene: Scene, points: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Index of the front-most object at (N, H, W, 2) points and (N,) times; -1 for the ground."""
    owner = np.full(points.shape[:-1], -1)
    for index, obj in enumerate(scene.objects):
        local, _ = _local(obj, points, t)
        owner = np.where(signed_distance(obj.shape, local) <= 0, index, owner)
    return owner


def _carry(scene: Scene, owner: np.ndarray, t: np.ndarray, dt: int) -> tuple[np.ndarray, ...]:
    """Flow of every pixel at times ``t`` to ``t + dt`` and where it is lost."""
    points = np.broadcast_to(_grid(), (len(t), SIZE, SIZE, 2))
    moved = points + np.asarray(scene.pan) * dt
    for index, obj in enumerate(scene.objects):
        local, _ = _local(obj, points, t)
        x, y, radius, angle = (value[:, None, None] for value in obj.pose(t + dt))
        cos, sin = np.cos(angle), np.sin(angle)
        lx, ly = local[..., 0] * radius, local[..., 1] * radius
        carried = np.stack([x + cos * lx - sin * ly, y + sin * lx + cos * ly], axis=-1)
        moved = np.where((owner == index)[..., None], carried, moved)
    outside = ((moved < 0.5) | (moved > SIZE - 0.5)).any(axis=-1)
    lost = outside | (_owner(scene, moved, t + dt) != owner)
    return (moved - points).astype(np.float32), lost


def _boxes(masks: np.ndarray) -> np.ndarray:
    boxes = np.full((*masks.shape[:2], 4), np.nan)
    for index in np.ndindex(*masks.shape[:2]):
        rows, columns = masks[index].any(axis=1).nonzero()[0], masks[index].any(axis=0).nonzero()[0]
        if len(rows):
            boxes[index] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def render_truth(scene: Scene) -> Truth:
    """Masks, boxes and optical flow of a scene, from its geometry and exact to the pixel."""
    t = np.arange(scene.n_frames, dtype=float)
    points = np.broadcast_to(_grid(), (len(t), SIZE, SIZE, 2))
    owner = _owner(scene, points, t)
    masks = np.stack([owner == index for index in range(len(scene.objects))])
    forward, lost_forward = _carry(scene, owner[:-1], t[:-1], 1)
    backward, lost_backward = _carry(scene, owner[1:], t[1:], -1)
    return Truth(masks, _boxes(masks), forward, backward, lost_forward, lost_backward)
