"""What cells give to sets, as ``scores.json`` holds it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from metrics.sets import Share


def packed(share: Share) -> dict[str, Any]:
    """A share as JSON: little-endian float32 in base64, so that no digit is lost."""
    arrays = {"samples": share.samples, "reference": share.reference}
    return {
        name: {"shape": list(array.shape), "float32": base64.b64encode(_bytes(array)).decode()}
        for name, array in arrays.items()
        if array is not None
    }


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, "<f4").tobytes()


def unpacked(stored: Mapping[str, Any]) -> Share:
    """The share that was packed."""
    arrays = {
        name: np.frombuffer(base64.b64decode(entry["float32"]), "<f4").reshape(entry["shape"])
        for name, entry in stored.items()
    }
    return Share(**arrays)
