"""What was computed for the last few videos, so that a clip's features are computed once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np

Value = TypeVar("Value")
LIMIT = 1 << 29  # bytes


def _bytes(value: object) -> int:
    """Bytes of an array, a tensor or a sequence of them."""
    if isinstance(value, list | tuple):
        return sum(map(_bytes, value))
    return int(value.nbytes)


class Memo(Generic[Value]):
    """Results by frames, the longest unused forgotten first; what exceeds the limit is not kept."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit, self._held = limit, 0
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, frames: np.ndarray, compute: Callable[[], Value]) -> Value:
        """The result for these frames, computed unless it is held."""
        data = np.ascontiguousarray(frames)
        key = (data.shape, data.dtype.str, hashlib.blake2b(data).digest())
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = compute()
        size = _bytes(value)
        if size <= self._limit:
            self._kept[key] = value
            self._held += size
            while self._held > self._limit:
                self._held -= _bytes(self._kept.popitem(last=False)[1])
        return value
