"""Training triples of the world: source picture, instruction, target picture.

Pictures come in families: one frame of one scene, with other colours, other shapes and other
grounds. Any two of a family that differ in one attribute are a triple, in both directions. No
picture shows a held-out (colour, shape, ground) combination, neither as source nor as target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np

from data.files import whole
from data.progress import Progress
from data.world.edits import VOCABULARY, Change
from data.world.instruct import PHRASINGS, instruction, shows_held_out
from data.world.render import render_frames
from data.world.sample import draw_scene
from data.world.scene import Scene
from data.world.vocabulary import SIZE

OTHERS = {"colour": 2, "shape": 3, "ground": 2}  # variants of a family besides its first picture
GRID = 8  # tokens a side
_MARGIN = 7.0  # pixels around an object's radius: its tips, and half a token


@dataclass(frozen=True)
class Triples:
    """Pictures, and the pairs of them that an instruction leads from and to."""

    frames: np.ndarray  # (P, 64, 64, 3) uint8
    discs: np.ndarray  # (P, 8, 8) bool: tokens that the object touches which may change
    pairs: np.ndarray  # (T, 2) indices of source and target
    kinds: np.ndarray  # (T,) index into PHRASINGS
    instructions: np.ndarray  # (T, 2) text in both phrasings


def _change(scene: Scene, kind: str, value: str, index: int) -> Scene:
    """The scene with one attribute set; held-out combinations and namesakes are the caller's."""
    if kind == "ground":
        return replace(scene, ground=value)
    objects = list(scene.objects)
    objects[index] = replace(objects[index], **{kind: value})
    return replace(scene, objects=tuple(objects))


def _tellable(scene: Scene) -> bool:
    """Whether an instruction can say which object it means."""
    things = scene.objects
    return all(len({getattr(o, k) for o in things}) == len(things) for k in ("colour", "shape"))


def _family(rng: np.random.Generator) -> tuple[int, dict[str, list[Scene]]]:
    """The index of the object that changes, and for each kind scenes that differ in it alone."""
    scene = replace(draw_scene(rng, style="photo"), motion=None)
    index = int(rng.integers(len(scene.objects)))
    family = {}
    for kind, count in OTHERS.items():
        values = rng.permutation(VOCABULARY[kind])
        variants = [_change(scene, kind, str(value), index) for value in values]
        fit = [v for v in variants if v != scene and _tellable(v) and not shows_held_out(v)]
        family[kind] = [scene, *fit[:count]]
    return index, family


def _disc(scene: Scene, index: int, t: float) -> np.ndarray:
    """(8, 8) bool: tokens within reach of an object."""
    x, y, radius, _ = (float(v[0]) for v in scene.objects[index].pose(np.array([t])))
    axis = (np.arange(GRID) + 0.5) * SIZE / GRID
    away = np.hypot(axis[None] - x, axis[:, None] - y)
    return away < radius + _MARGIN


def _triples(family: dict[str, list[Scene]], index: int) -> Iterator[tuple[int, int, str, tuple]]:
    """(source, target, kind, texts) of every pair; pictures count first, colours, shapes, grounds.

    The first picture belongs to every kind and stands once, at 0.
    """
    first = 1
    for kind, scenes in family.items():
        places = [0, *range(first, first + len(scenes) - 1)]
        first += len(scenes) - 1
        for a, b in permutations(range(len(scenes)), 2):
            thing = scenes[b].objects[index]
            value = scenes[b].ground if kind == "ground" else getattr(thing, kind)
            change = Change(**{kind: value}, object=index)
            texts = tuple(instruction(scenes[a], change, k) for k in range(2))
            yield places[a], places[b], kind, texts


def world_triples(families: int, seed: int, cache: Path | None = None) -> Triples:
    """Triples of ``families`` scenes; with ``cache`` (an ``.npz``) rendered once and read back."""
    if cache is not None and cache.exists():
        with np.load(cache) as stored:
            return Triples(**{name: stored[name] for name in stored.files})
    progress = Progress("render triples", families)
    frames, discs, pairs, kinds, texts = [], [], [], [], []
    for number in range(families):
        rng = np.random.default_rng([seed, 3, number])
        index, family = _family(rng)
        t = int(rng.integers(family["colour"][0].n_frames))
        first = len(frames)
        scenes = [family["colour"][0], *(s for each in family.values() for s in each[1:])]
        frames += [render_frames(scene, [t])[0] for scene in scenes]
        discs += [_disc(scene, index, t) for scene in scenes]
        for a, b, kind, both in _triples(family, index):
            pairs.append((first + a, first + b))
            kinds.append(list(PHRASINGS).index(kind))
            texts.append(both)
        progress.update()
    made = Triples(
        np.stack(frames), np.stack(discs), np.array(pairs), np.array(kinds), np.array(texts)
    )
    if cache is not None:
        with whole(cache) as part, part.open("wb") as stream:
            np.savez(stream, **vars(made))
    return made
