"""Draw random scenes, for training (never a held-out combination) or held out (only those)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.world.scene import Object, Scene
from data.world.vocabulary import COLOURS, GROUNDS, MOTIONS, SHAPES, SIZE, STYLES, held_out

DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}


def steer(obj: Object, motion: str, speed: float, n_frames: int) -> Object:
    """The same object moving in a direction, starting so that its path is centred in the frame."""
    dx, dy = DIRECTIONS[motion]
    half = speed * (n_frames - 1) / 2
    x = SIZE / 2 - dx * half if dx else obj.x
    y = SIZE / 2 - dy * half if dy else obj.y
    return replace(obj, x=round(x, 2), y=round(y, 2), vx=dx * speed, vy=dy * speed)


def _path(rng: np.random.Generator, low: float, high: float, drift: float) -> tuple[float, float]:
    """A start in [low, high] and an end within ``drift`` of it, in the same range."""
    start = rng.uniform(low, high)
    return start, float(np.clip(start + rng.uniform(-drift, drift), low, high))


def _object(
    rng: np.random.Generator,
    ground: str,
    want_held_out: bool | None,
    n: int,
    radius: tuple[float, float],
    columns: tuple[float, float],
) -> Object:
    while True:
        colour, shape = str(rng.choice(list(COLOURS))), str(rng.choice(SHAPES))
        if want_held_out is None or held_out(colour, shape, ground) == want_held_out:
            break
    r0, r1 = rng.uniform(*radius, size=2)
    margin = max(r0, r1) + 1
    x0, x1 = _path(rng, columns[0] + margin, columns[1] - margin, 16)
    y0, y1 = _path(rng, margin, SIZE - margin, 16)
    last = max(n - 1, 1)
    return Object(
        colour,
        shape,
        x=round(x0, 2),
        y=round(y0, 2),
        radius=round(r0, 2),
        angle=round(rng.uniform(0, 2 * np.pi), 3),
        spin=round(rng.uniform(-0.08, 0.08), 3),
        vx=round((x1 - x0) / last, 3),
        vy=round((y1 - y0) / last, 3),
        growth=round((r1 / r0) ** (1 / last), 4),
    )


def draw_scene(
    rng: np.random.Generator,
    *,
    unseen: bool = False,
    objects: int | None = None,
    style: str | None = None,
    n_frames: int = 16,
) -> Scene:
    """A random scene from a generator.

    ``unseen`` draws held-out (colour, shape, ground) triples only, otherwise none of them.
    ``objects`` (1 or 2) and ``style`` are drawn too when not given: 20 % of scenes have two
    objects, 24 % a style other than ``photo``, and 15 % of single objects a named motion.
    """
    ground = str(rng.choice(GROUNDS))
    count = objects or (2 if rng.random() < 0.2 else 1)
    if style is None:
        style = "photo" if rng.random() < 0.76 else str(rng.choice(STYLES[1:]))
    pan = (0.0, 0.0) if rng.random() < 0.5 else tuple(np.round(rng.uniform(-0.8, 0.8, 2), 2))
    motion = None
    if count == 1:
        things = (_object(rng, ground, unseen, n_frames, (11.0, 16.0), (0, SIZE)),)
        if rng.random() < 0.15:
            motion = str(rng.choice(MOTIONS))
            things = (steer(things[0], motion, round(rng.uniform(0.8, 1.4), 2), n_frames),)
    else:
        halves = [(0, SIZE / 2 + 1), (SIZE / 2 - 1, SIZE)]
        first = _object(rng, ground, unseen, n_frames, (9.0, 12.0), halves[0])
        second = _object(rng, ground, unseen, n_frames, (9.0, 12.0), halves[1])
        while second.colour == first.colour or second.shape == first.shape:
            second = _object(rng, ground, unseen, n_frames, (9.0, 12.0), halves[1])
        things = (first, second)
    return Scene(
        ground,
        things,
        style,
        motion,
        int(rng.integers(1 << 16)),
        (float(pan[0]), float(pan[1])),
        n_frames,
    )
