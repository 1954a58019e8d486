"""Training pictures of the world: one random frame of each of many random scenes, with captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.progress import Progress
from data.world.grammar import caption
from data.world.render import render_frames
from data.world.sample import draw_scene
from data.world.vocabulary import SIZE


def world_images(
    count: int, seed: int, *, unseen: bool = False, cache: Path | None = None, **draw: object
) -> tuple[np.ndarray, list[str]]:
    """(count, 64, 64, 3) uint8 frames and their captions; ``unseen`` takes held-out triples only.

    With ``cache`` (an ``.npz``) they are rendered once and read back afterwards.
    """
    if cache is not None and cache.exists():
        with np.load(cache) as stored:
            return stored["frames"], stored["captions"].tolist()
    progress = Progress("render training pictures", count)
    frames, captions = [], []
    for index in range(count):
        rng = np.random.default_rng([seed, int(unseen), index])
        scene = draw_scene(rng, unseen=unseen, **draw)
        frames.append(render_frames(scene, [int(rng.integers(scene.n_frames))])[0])
        captions.append(caption(scene))
        progress.update()
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, frames=np.stack(frames), captions=np.array(captions))
    return np.stack(frames), captions


def object_discs(count: int, seed: int, *, size: int) -> Tensor:
    """(count, size, size) float32: 1 where the objects of ``world_images``' pictures are, else 0.

    An object counts as the disc it turns in, with a margin for its rim; edges are soft.
    """
    axis = (np.arange(size) + 0.5) * SIZE / size
    x, y = np.meshgrid(axis, axis, indexing="xy")
    discs = np.zeros((count, size, size), np.float32)
    for index in range(count):
        rng = np.random.default_rng([seed, 0, index])
        scene = draw_scene(rng)
        t = np.array([float(rng.integers(scene.n_frames))])
        for thing in scene.objects:
            px, py, radius, _ = (float(value[0]) for value in thing.pose(t))
            inside = (radius + 3 - np.hypot(x - px, y - py)) * size / SIZE
            discs[index] = np.maximum(discs[index], np.clip(inside, 0, 1))
    return torch.from_numpy(discs)


def to_tensor(frames: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
