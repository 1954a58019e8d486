"""When the steps fall: flow times from exactly 1 (noise) to exactly 0, without torch.

Times are those of diffusers' ``FlowMatchEulerDiscreteScheduler`` with dynamic shifting; planning
must not import torch, so the few formulas stand here too and a test holds them together.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class FlowSchedule:
    """The shift towards noise grows linearly with the number of target tokens."""

    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    base_shift: float = 0.5
    max_shift: float = 1.15

    def times(self, n: int, tokens: int) -> list[float]:
        """``n`` + 1 times for an image of ``tokens`` target tokens, reference not counted."""
        span = self.max_image_seq_len - self.base_image_seq_len
        slope = (self.max_shift - self.base_shift) / span
        mu = self.base_shift + slope * (tokens - self.base_image_seq_len)
        return [shift(1 - k / n, mu) for k in range(n + 1)]


def shift(t: float, mu: float) -> float:
    """A time moved towards 1 by ``mu``; 0 and 1 stay."""
    if t in (0, 1):
        return float(t)
    return math.exp(mu) / (math.exp(mu) + (1 / t - 1))


def bfloat16(value: float) -> float:
    """The nearest bfloat16, ties to even, of a float32 number."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", rounded))[0]


def released_time(t: float) -> float:
    """What the released network sees of a time: t and then 1000 t are rounded to bfloat16."""
    return bfloat16(1000 * bfloat16(t)) / 1000
