"""Training triples of the world: source picture, instruction, target picture.

Pictures come in families: one frame of one scene, with other colours, other shapes and other
grounds. Two of a family that differ in one attribute are a triple, in each direction in which the
source tells the answer: a new shape is turned from upright as the source's outline is, and not at
all where that is round. How a scene has an object turned beyond what its outline shows is not to be
seen; an editor that was asked to guess it drew blobs. No picture shows a held-out (colour, shape,
ground) combination, neither as source nor as target.
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
from data.world.scene import Object, Scene
from data.world.vocabulary import SIZE

OTHERS = {"colour": 2, "shape": 3, "ground": 2}  # variants of a family besides its first picture
GRID = 8  # tokens a side
CORNERS = {"triangle": 3, "square": 4, "star": 5}  # turned by one, an outline is as it was
_MARGIN = 7.0  # pixels around an object's radius: its tips, and half a token


@dataclass(frozen=True)
class Triples:
    """Pictures, and the pairs of them that an instruction leads from and to."""

    frames: np.ndarray  # (P, 64, 64, 3) uint8
    discs: np.ndarray  # (P, 8, 8) bool: tokens that the object touches which may change
    pairs: np.ndarray  # (T, 2) indices of source and target
    kinds: np.ndarray  # (T,) index into PHRASINGS
    instructions: np.ndarray  # (T, 2) text in both phrasings


def outline_angle(thing: Object, t: float) -> float:
    """The least turn from upright that gives an outline, in radians; 0 for a round one."""
    if thing.shape not in CORNERS:
        return 0.0
    period = 2 * np.pi / CORNERS[thing.shape]
    turned = thing.angle + thing.spin * t
    return turned - period * round(turned / period)


def answers(source: Object, target: Object, t: float) -> bool:
    """Whether an outline is turned as that of the object in whose place it stands."""
    asked = replace(target, angle=outline_angle(source, t), spin=0.0)
    return bool(np.isclose(outline_angle(target, t), outline_angle(asked, t), atol=1e-6))


def _change(scene: Scene, kind: str, value: str, index: int, t: float) -> Scene:
    """The scene with one attribute set; held-out combinations and namesakes are the caller's."""
    if kind == "ground":
        return replace(scene, ground=value)
    objects = list(scene.objects)
    thing = objects[index]
    if kind == "shape":
        thing = replace(thing, angle=outline_angle(thing, t) - thing.spin * t)
    objects[index] = replace(thing, **{kind: value})
    return replace(scene, objects=tuple(objects))


def _tellable(scene: Scene) -> bool:
    """Whether an instruction can say which object it means."""
    things = scene.objects
    return all(len({getattr(o, k) for o in things}) == len(things) for k in ("colour", "shape"))


def _family(rng: np.random.Generator) -> tuple[int, int, dict[str, list[Scene]]]:
    """Which object changes, at which time, and for each kind scenes that differ in it alone."""
    scene = replace(draw_scene(rng, style="photo"), motion=None)
    index, t = int(rng.integers(len(scene.objects))), int(rng.integers(scene.n_frames))
    family = {}
    for kind, count in OTHERS.items():
        values = rng.permutation(VOCABULARY[kind])
        old = scene.ground if kind == "ground" else getattr(scene.objects[index], kind)
        others = [str(value) for value in values if value != old]
        variants = [_change(scene, kind, value, index, t) for value in others]
        fit = [v for v in variants if _tellable(v) and not shows_held_out(v)]
        family[kind] = [scene, *fit[:count]]
    return index, t, family


def _disc(scene: Scene, index: int, t: float) -> np.ndarray:
    """(8, 8) bool: tokens within reach of an object."""
    x, y, radius, _ = (float(v[0]) for v in scene.objects[index].pose(np.array([t])))
    axis = (np.arange(GRID) + 0.5) * SIZE / GRID
    away = np.hypot(axis[None] - x, axis[:, None] - y)
    return away < radius + _MARGIN


def _triples(
    family: dict[str, list[Scene]], index: int, t: float
) -> Iterator[tuple[int, int, str, tuple]]:
    """(source, target, kind, texts) of each pair; pictures count first, colours, shapes, grounds.

    The first picture belongs to every kind and stands once, at 0.
    """
    first = 1
    for kind, scenes in family.items():
        places = [0, *range(first, first + len(scenes) - 1)]
        first += len(scenes) - 1
        for a, b in permutations(range(len(scenes)), 2):
            thing = scenes[b].objects[index]
            if not answers(scenes[a].objects[index], thing, t):
                continue
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
        index, t, family = _family(rng)
        first = len(frames)
        scenes = [family["colour"][0], *(s for each in family.values() for s in each[1:])]
        frames += [render_frames(scene, [t])[0] for scene in scenes]
        discs += [_disc(scene, index, t) for scene in scenes]
        for a, b, kind, both in _triples(family, index, t):
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
