"""Tell a picture's ground and style from its patches, with nothing learned.

A ground in a style is known by what its rendered 8x8 patches look like; those that explain most of
a picture's patches come first. Objects cover some patches, so a patch costs at most a fixed amount.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from data.world.render import render_frames
from data.world.scene import Scene
from data.world.vocabulary import GROUNDS, SIZE, STYLES

_PATCH = 8
_MOST = 90.0  # what a patch that looks like nothing of the ground costs
# What blur or a decoder may change in a patch's features without changing what is shown.
_SLACK = np.array([9.0, 9.0, 9.0, 5.0, 2.5, 2.5, 3.0])


@dataclass(frozen=True)
class Backdrop:
    """A ground in a style."""

    style: str
    ground: str
    mean: np.ndarray  # (F,) of the patch features
    precision: np.ndarray  # (F, F)
    log_det: float  # of the covariance
    palette: np.ndarray  # (P, 3) colours that its pixels have

    def cost(self, features: np.ndarray) -> float:
        """How badly it explains (64, F) patches; lower is better."""
        away = features - self.mean
        distance = np.einsum("nf,fg,ng->n", away, self.precision, away) + self.log_det
        return float(np.minimum(distance, _MOST).sum())


def _features(frame: np.ndarray) -> np.ndarray:
    """(64, F) features of the frame's 8x8 patches: colour, contrast, direction, flat tiles."""
    frame = frame.astype(float)
    n = SIZE // _PATCH

    def mean(field: np.ndarray) -> np.ndarray:
        return field.reshape(n, _PATCH, n, _PATCH, -1).mean(axis=(1, 3)).reshape(n * n, -1)

    luma = frame.mean(axis=-1)
    dx = np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    dy = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    tiles = luma.reshape(SIZE // 4, 4, SIZE // 4, 4)
    inside = np.broadcast_to(np.sqrt(tiles.var(axis=(1, 3), keepdims=True)), tiles.shape).reshape(
        SIZE, SIZE
    )
    contrast = np.sqrt(np.maximum(mean(luma**2) - mean(luma) ** 2, 0))
    return np.concatenate([mean(frame), contrast, mean(dx), mean(dy), mean(inside)], axis=1)


def _backdrop(style: str, ground: str) -> Backdrop:
    empty = Scene(ground, (), style, pan=(0.37, 0.61))  # every sub-pixel phase
    frames = np.concatenate(
        [render_frames(replace(empty, ground_seed=7919 * k + 17), [k]) for k in range(8)]
    )
    features = np.concatenate([_features(frame) for frame in frames])
    covariance = np.cov(features.T) + np.diag(_SLACK**2)
    pixels = frames.reshape(-1, 3)
    cells, counts = np.unique(pixels // 12, axis=0, return_counts=True)
    return Backdrop(
        style,
        ground,
        features.mean(0),
        np.linalg.inv(covariance),
        float(np.linalg.slogdet(covariance)[1]),
        cells[counts > 0.0002 * len(pixels)] * 12.0 + 6,
    )


@lru_cache(maxsize=1)
def _backdrops() -> list[Backdrop]:
    return [_backdrop(style, ground) for style in STYLES for ground in GROUNDS]


def likely_backdrops(frame: np.ndarray, within: float) -> list[Backdrop]:
    """The backdrops that explain a picture best, and those whose cost is ``within`` the best's."""
    features = _features(frame)
    costs = [(backdrop.cost(features), backdrop) for backdrop in _backdrops()]
    costs.sort(key=lambda pair: pair[0])
    return [backdrop for cost, backdrop in costs if cost <= costs[0][0] + within]
