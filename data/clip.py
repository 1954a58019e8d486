"""What is edited and what is asked: the types every method and metric sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Flow:
    """Optical flow of N frames, in pixels (x right, y down).

    ``forward[t]`` carries pixels of frame t to t + 1, ``backward[t]`` those of frame t + 1 to t.
    A pixel is occluded where its destination is covered by something else or out of the frame.
    """

    forward: np.ndarray  # (N - 1, H, W, 2) float32
    backward: np.ndarray  # (N - 1, H, W, 2) float32
    occluded_forward: np.ndarray  # (N - 1, H, W) bool
    occluded_backward: np.ndarray  # (N - 1, H, W) bool


@dataclass(frozen=True)
class Region:
    """A phrase of the target prompt and the boxes that its object is to stand in.

    Boxes are x0, y0, x1, y1 as shares of width and height, from 0 to 1.
    """

    phrase: str
    boxes: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Edit:
    """A change asked of a clip; ``oracle`` is the true answer where it is known."""

    id: str
    kind: str  # colour, shape, ground, style, motion, or several joined by "+"
    prompt: str  # the target prompt
    words: tuple[tuple[str, str], ...] = ()  # (source word, target word) pairs that change
    oracle: np.ndarray | None = None  # (N, H, W, 3) uint8
    oracle_masks: np.ndarray | None = None  # (K, N, H, W) bool: the objects in the oracle
    layout: tuple[Region, ...] = ()  # where objects are to stand


@dataclass(frozen=True)
class Clip:
    """A fixed source. One frame makes an image."""

    id: str
    dataset: str
    frames: np.ndarray  # (N, H, W, 3) uint8
    prompt: str
    fps: float = 8.0
    masks: np.ndarray | None = None  # (K, N, H, W) bool, visible part of each object
    boxes: np.ndarray | None = None  # (K, N, 4) x0, y0, x1, y1 in pixels
    flow: Flow | None = None
    edits: Mapping[str, Edit] = field(default_factory=dict)
    attribution: str = ""  # author and licence, where the clip is not our own
