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


def to_tensor(frames: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
