"""Sprite sheets of frames, and sounds, each stored once: in the page, or in files beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from data.sound import wav_bytes
from data.speech import Audio

TYPES = {"webp": "image/webp", "wav": "audio/wav"}
EMBED_LIMIT = 11_000_000  # bytes of media in the page; beyond it they lie beside it in media/


class Media:
    """Sprite sheets and sounds by digest of what they hold; what is equal is stored once.

    Sheets are encoded beside the caller's work, on every core: the encoder holds no lock.
    """

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, int, int, int]] = {}  # n, h, w, columns
        self._encoder = ThreadPoolExecutor()
        self._sheets: dict[str, Future[bytes]] = {}
        self._sounds: dict[str, bytes] = {}  # WAV, which every browser plays

    def add(self, frames: np.ndarray) -> str:
        """Store (N, H, W, 3) uint8 frames; returns their key."""
        n, h, w, _ = frames.shape
        key = hashlib.sha256(repr(frames.shape).encode() + frames.tobytes()).hexdigest()[:12]
        if key not in self._sheets:
            columns = math.ceil(math.sqrt(n))
            self._sheets[key] = self._encoder.submit(_encode, frames, columns)
            self.shapes[key] = (n, h, w, columns)
        return key

    @property
    def sheets(self) -> dict[str, bytes]:
        """Lossless WebP by key; waits for those still being encoded."""
        return {key: sheet.result() for key, sheet in self._sheets.items()}

    def add_sound(self, audio: Audio) -> str:
        """Store a sound; returns its key."""
        key = audio.digest[:12]
        self._sounds.setdefault(key, wav_bytes(audio))
        return key

    @property
    def files(self) -> dict[str, bytes]:
        """Everything by its name beside the page."""
        sheets = {f"{key}.webp": sheet for key, sheet in self.sheets.items()}
        return sheets | {f"{key}.wav": sound for key, sound in self._sounds.items()}

    @property
    def embedded(self) -> bool:
        """Whether all of it fits into the page."""
        return sum(map(len, self.files.values())) * 4 / 3 <= EMBED_LIMIT

    def index(self) -> dict[str, Any]:
        """Per key: where it is (a data URI, or a path beside the page); of sheets their layout."""
        embedded, found = self.embedded, {}
        for name, content in self.files.items():
            key, _, ending = name.partition(".")
            data = f"data:{TYPES[ending]};base64," + base64.b64encode(content).decode()
            found[key] = {"src": data if embedded else f"media/{name}"}
            if key in self.shapes:
                found[key]["shape"] = list(self.shapes[key])
        return found


def _encode(frames: np.ndarray, columns: int) -> bytes:
    n, h, w, _ = frames.shape
    sheet = np.zeros((math.ceil(n / columns) * h, columns * w, 3), np.uint8)
    for index, frame in enumerate(frames):
        y, x = divmod(index, columns)
        sheet[y * h : (y + 1) * h, x * w : (x + 1) * w] = frame
    out = io.BytesIO()
    # More effort takes thrice as long and saves a twenty-fifth of the bytes.
    Image.fromarray(sheet).save(out, "WEBP", lossless=True, quality=30, method=3)
    return out.getvalue()
