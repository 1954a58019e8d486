"""Frames as sprite sheets, each stored once: data URIs in the page, or files beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

EMBED_LIMIT = 11_000_000  # bytes of media in the page; beyond it they lie beside it in media/


@dataclass
class Media:
    """Sprite sheets by digest of their frames; equal frames are stored once."""

    sheets: dict[str, bytes] = field(default_factory=dict)  # lossless WebP
    shapes: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)  # n, h, w, columns

    def add(self, frames: np.ndarray) -> str:
        """Store (N, H, W, 3) uint8 frames; returns their key."""
        n, h, w, _ = frames.shape
        key = hashlib.sha256(repr(frames.shape).encode() + frames.tobytes()).hexdigest()[:12]
        if key not in self.sheets:
            columns = math.ceil(math.sqrt(n))
            rows = math.ceil(n / columns)
            sheet = np.zeros((rows * h, columns * w, 3), np.uint8)
            for index, frame in enumerate(frames):
                y, x = divmod(index, columns)
                sheet[y * h : (y + 1) * h, x * w : (x + 1) * w] = frame
            out = io.BytesIO()
            Image.fromarray(sheet).save(out, "WEBP", lossless=True, quality=60, method=4)
            self.sheets[key], self.shapes[key] = out.getvalue(), (n, h, w, columns)
        return key

    @property
    def embedded(self) -> bool:
        """Whether the sheets fit into the page."""
        return sum(map(len, self.sheets.values())) * 4 / 3 <= EMBED_LIMIT

    def index(self) -> dict[str, Any]:
        """Per key: where the sheet is (a data URI, or a path beside the page) and its layout."""
        return {
            key: {
                "src": "data:image/webp;base64," + base64.b64encode(sheet).decode()
                if self.embedded
                else f"media/{key}.webp",
                "shape": list(self.shapes[key]),
            }
            for key, sheet in self.sheets.items()
        }
