"""Distances between frames over a network's features (after Zhang et al. 2018)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

import numpy as np

from metrics.compared import Compared
from metrics.pixels import mean_over

if TYPE_CHECKING:
    import torch

CHUNK = 4  # frames at once: the finest features of a VGG take 67 MB a frame at 512x512


class FeatureNet(Protocol):
    """A network whose unit-normalised features are compared."""

    def fresh_features(self, frames: np.ndarray) -> list[torch.Tensor]:
        """(N, C, h, w) features of unit length over C, at each depth, of (N, H, W, 3) frames."""

    def unit_features(self, frames: np.ndarray) -> list[torch.Tensor]:
        """The same, remembered: clips are compared with many videos, and these with several."""

    def distances(
        self, features: list[torch.Tensor], reference: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """(N, h, w) maps, one for each depth, whose means add up to the distance."""


def feature_distance(
    net: FeatureNet, frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None = None
) -> np.ndarray:
    """(N,) distances of (N, H, W, 3) frames at their own resolution; NaN where none is chosen.

    Outside the (N, H, W) pixels chosen the reference's pixels stand in for the frames'. Otherwise
    features near the border would see what changed beyond it.
    """
    from torch.nn import functional as F

    values = []
    for start in range(0, len(frames), CHUNK):
        part = slice(start, start + CHUNK)
        chosen = None if where is None else where[part]
        there = net.unit_features(reference[part])
        if chosen is None:
            maps = net.distances(net.unit_features(frames[part]), there)
            values.append(sum(m.mean(dim=(1, 2)).double().numpy() for m in maps))
            continue
        shown = np.where(chosen[..., None], frames[part], reference[part])
        maps = net.distances(net.fresh_features(shown), there)
        size = frames.shape[1:3]
        spread = [
            F.interpolate(m[:, None], size, mode="bilinear", align_corners=False)[:, 0]
            for m in maps
        ]
        values.append(mean_over(sum(m.double().numpy() for m in spread), chosen))
    return np.concatenate(values)


class FeatureDistance(Compared):
    """A distance over a network's features."""

    smallest = 32

    @abstractmethod
    def net(self) -> FeatureNet:
        """The loaded network. Raises MissingExtractor."""

    def values(
        self, frames: np.ndarray, reference: np.ndarray, where: np.ndarray | None
    ) -> np.ndarray:
        return feature_distance(self.net(), frames, reference, where)
