"""Draw faces and motions."""

from __future__ import annotations

import numpy as np

from data.portraits.face import CUTS, EYES, GROUNDS, HAIRS, SHIRTS, SKINS, Face, Motion, held_out
from data.portraits.loudness import FPS

SWAY = 1.6  # pixels, the widest


def draw_face(rng: np.random.Generator, *, unseen: bool = False) -> Face:
    """A face of the held-out (skin, hair, ground) triples, or of the rest."""
    while True:
        skin, hair, ground = (str(rng.choice(list(names))) for names in (SKINS, HAIRS, GROUNDS))
        if held_out(skin, hair, ground) == unseen:
            break
    return Face(
        skin,
        hair,
        cut=str(rng.choice(CUTS)),
        eyes=str(rng.choice(list(EYES))),
        ground=ground,
        shirt=int(rng.integers(len(SHIRTS))),
        half_width=round(rng.uniform(15.5, 18.5), 2),
        half_height=round(rng.uniform(20.5, 23.5), 2),
        x=round(rng.uniform(30.5, 33.5), 2),
        y=round(rng.uniform(29.0, 31.0), 2),
        brow=round(rng.uniform(0.5, 1.1), 2),
        mouth=round(rng.uniform(6.0, 8.0), 2),
        grain=int(rng.integers(1 << 16)),
    )


def draw_motion(rng: np.random.Generator, n_frames: int) -> Motion:
    """A head that sways and nods slowly, and blinks every two seconds or so."""
    t = np.arange(n_frames) / FPS
    sway, nod = (
        rng.uniform(0.3, SWAY) * np.sin(2 * np.pi * (rng.uniform(0.2, 0.7) * t + rng.random()))
        for _ in range(2)
    )
    lids = np.ones(n_frames)
    at = rng.uniform(-0.3, 2.0) * FPS
    while at < n_frames:
        lids = np.minimum(lids, np.clip(np.abs(np.arange(n_frames) - at) / 2.0 - 0.4, 0.0, 1.0))
        at += rng.uniform(1.2, 3.0) * FPS
    return Motion(np.round(sway, 4), np.round(0.7 * nod, 4), np.round(lids, 4))
