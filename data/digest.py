"""Digests of what is edited and what is asked. Equal digest, equal bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from data.clip import Region


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """Hex SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def frames_digest(frames: np.ndarray) -> str:
    """Hex SHA-256 over the shape, type and bytes of (N, H, W, 3) frames."""
    header = f"{frames.shape}{frames.dtype.str}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(frames).tobytes()).hexdigest()


def clip_digest(frames: str, prompt: str) -> str:
    """Digest of a clip as methods see it: its frames' digest and its source prompt."""
    return json_digest({"frames": frames, "prompt": prompt})


def layout_digest(layout: tuple[Region, ...]) -> str:
    """Digest of phrases and boxes; empty where there are none."""
    return json_digest([[region.phrase, region.boxes] for region in layout]) if layout else ""


def edit_digest(
    prompt: str,
    words: tuple[tuple[str, str], ...],
    oracle: str | None,
    layout: tuple[Region, ...] = (),
    audio: str = "",
    instruction: str = "",
) -> str:
    """Digest of an edit: target prompt, words that change, layout, the oracle frames' digest,
    the audio's, and the instruction.

    The oracle belongs to it because a control shows it and metrics compare with it.
    """
    parts = {"prompt": prompt, "words": [list(p) for p in words], "oracle": oracle}
    parts |= {"layout": layout_digest(layout)} if layout else {}
    parts |= {"audio": audio} if audio else {}
    return json_digest(parts | ({"instruction": instruction} if instruction else {}))
