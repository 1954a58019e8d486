"""What a clip shows: objects with motion, a ground under a panning camera, a style."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Object:
    """One object; lengths in pixels, angles in radians, rates per frame."""

    colour: str
    shape: str
    x: float  # centre in frame 0
    y: float
    radius: float
    angle: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    spin: float = 0.0
    growth: float = 1.0  # the radius is multiplied by this every frame

    def pose(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(x, y, radius, angle), each of ``t``'s shape, at frame times ``t``."""
        return (
            self.x + self.vx * t,
            self.y + self.vy * t,
            self.radius * self.growth**t,
            self.angle + self.spin * t,
        )


@dataclass(frozen=True)
class Scene:
    """A whole clip. Later objects lie in front of earlier ones."""

    ground: str
    objects: tuple[Object, ...]
    style: str = "photo"
    motion: str | None = None  # the direction the caption names, if it names one
    ground_seed: int = 0
    pan: tuple[float, float] = field(default=(0.0, 0.0))  # ground's motion, pixels per frame
    n_frames: int = 16
