"""A backbone on arrays, without torch: its state, its predictions, its inversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from methods.base import InversionSpec


@dataclass
class NumpyState:
    """A state on arrays."""

    latents: np.ndarray
    extra: dict[str, Any] = field(default_factory=dict)

    def fork(self) -> NumpyState:
        return NumpyState(self.latents.copy(), dict(self.extra))

    def pack(self) -> dict[str, np.ndarray]:
        return {k: np.asarray(v) for k, v in ({"latents": self.latents} | self.extra).items()}

    @classmethod
    def unpack(cls, arrays: Mapping[str, np.ndarray]) -> NumpyState:
        extra = dict(arrays)
        return cls(extra.pop("latents"), extra)


@dataclass
class FakeBackbone:
    """Counts evaluations; its noise is a fixed nonlinear function."""

    evaluations: int = 0

    def predict(self, latents: np.ndarray, timestep: int, weight: float) -> np.ndarray:
        self.evaluations += len(latents)
        return np.sin(latents * (1 + timestep / 10)) * weight


@dataclass
class FakeInversion:
    """Latents that remember what they were made from."""

    latents: np.ndarray

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".part")
        with temporary.open("wb") as stream:
            np.save(stream, self.latents)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> FakeInversion:
        with path.open("rb") as stream:
            return cls(np.load(stream))


def invert(backbone: FakeBackbone, frames: np.ndarray, spec: InversionSpec) -> FakeInversion:
    latents = frames.astype(np.float64) / 255
    for t in range(spec.steps):
        latents = latents + backbone.predict(latents, t, 0.01)
    return FakeInversion(latents)
