"""Canvases: clips for what is generated and not edited, and boxes on them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

GREY = 127
Share = Annotated[float, Field(ge=0, le=1)]


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"a box is x0 < x1, y0 < y1 as shares of width and height, {box} given")
    return box


#: x0, y0, x1, y1 as shares of width and height.
BoxEntry = Annotated[tuple[Share, Share, Share, Share], AfterValidator(_ordered)]


def blank(height: int, width: int) -> np.ndarray:
    """(1, H, W, 3) uint8: one grey frame, of which only the size is looked at."""
    return np.full((1, height, width, 3), GREY, np.uint8)
