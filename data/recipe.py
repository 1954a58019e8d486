"""How a source becomes a clip: which frames, which part of them, at what size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from data.manifest import Strict

Box = tuple[int, int, int, int]


class Recipe(Strict):
    """A recorded cut. Frame numbers count decoded frames from 0; ``stop`` is exclusive."""

    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, gt=0, description="default: the last frame")
    step: int = Field(default=1, ge=1, description="keep every step-th frame")
    fps: float | None = Field(default=None, gt=0, description="instead of step: sample to this")
    crop: Literal["none", "square"] | Box = Field(
        default="square", description="the centred square, or x0, y0, x1, y1 in source pixels"
    )
    size: int | tuple[int, int] = Field(default=64, description="a side, or height and width")

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"stop ({self.stop}) must be greater than start ({self.start})")
        if self.fps is not None and self.step != 1:
            raise ValueError("give step or fps, not both")
        if min(self.height_width) < 8:
            raise ValueError(f"size must be at least 8 pixels, {self.size} given")
        if not isinstance(self.crop, str):
            x0, y0, x1, y1 = self.crop
            if not (0 <= x0 < x1 and 0 <= y0 < y1):
                raise ValueError(f"crop must be x0 < x1, y0 < y1 in pixels, {self.crop} given")
        return self

    @property
    def height_width(self) -> tuple[int, int]:
        """Height and width of the prepared frames."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def rate(self, source_fps: float) -> float:
        """Frames per second of the prepared clip."""
        return self.fps or source_fps / self.step

    def indices(self, source_fps: float) -> Iterator[int]:
        """Source frame numbers to keep, increasing; endless where ``stop`` is open."""
        stride = source_fps / self.fps if self.fps else float(self.step)
        kept = 0
        while True:
            index = self.start + int(kept * stride + 0.5)
            if self.stop is not None and index >= self.stop:
                return
            yield index
            kept += 1

    def box(self, height: int, width: int) -> Box:
        """The part of an H x W frame that is kept; ValueError if it reaches out of the frame."""
        if self.crop == "none":
            return 0, 0, width, height
        if self.crop == "square":
            side = min(height, width)
            left, top = (width - side) // 2, (height - side) // 2
            return left, top, left + side, top + side
        if self.crop[2] > width or self.crop[3] > height:
            raise ValueError(f"crop {self.crop} reaches out of frames of {width}x{height} pixels")
        return self.crop

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """Crop and resize one (H, W, 3) uint8 frame.

        Pillow's resampling of 8-bit images is integer arithmetic: the same bytes everywhere.
        """
        box = self.box(*frame.shape[:2])
        height, width = self.height_width
        image = Image.fromarray(frame).crop(box)
        return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
