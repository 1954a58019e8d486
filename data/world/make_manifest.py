"""Write data/world.yaml: ``python -m data.world.make_manifest``.

Scenes are drawn from the held-out combinations with a fixed seed, until each is well composed:
objects wholly in the frame, moving, distinct from the ground and from each other. The result is
written out in full, so that the manifest, not this program, defines the dataset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
import yaml

from data.world.edits import VOCABULARY, Change, change_scene
from data.world.grounds import ground_colour
from data.world.render import render_truth
from data.world.sample import draw_scene, steer
from data.world.scene import Scene
from data.world.vocabulary import COLOURS, GROUNDS, MOTIONS, SHAPES, SIZE, held_out

MANIFEST = Path(__file__).parents[1] / "world.yaml"
SEED = 20
REACH = 1.32  # farthest point of any shape, in radii: the star's tips
SINGLES, PAIRS, MOVING = 18, 6, 8
STYLED = {15: "sketch", 17: "watercolour"}  # index of a single-object clip: its style
COMPOUNDS = (
    ("colour", "ground"),
    ("shape", "ground"),
    ("colour", "shape"),
    ("colour", "style"),
    ("colour", "ground", "style"),
    ("shape", "style"),
    ("colour", "shape", "ground"),
    ("ground", "style"),
)
HEADER = """\
# The world benchmark: {n} clips of held-out (colour, shape, ground) combinations and their edits.
# Written by `python -m data.world.make_manifest`. Lengths are in pixels, angles in radians, rates
# per frame. An edit names what changes; target prompt, changing words and oracle follow from it.
"""


@cache
def _mean_colour(ground: str) -> np.ndarray:
    x, y = np.meshgrid(np.arange(64.0), np.arange(64.0))
    return ground_colour(ground, x, y, 0).mean(axis=(0, 1))


def distinct_from(colour: str, ground: str, least: float = 60.0) -> bool:
    """Whether a colour is at least ``least`` (RGB distance, of 441) from a ground's mean colour."""
    return bool(np.linalg.norm(np.array(COLOURS[colour]) - _mean_colour(ground)) >= least)


def distinct(scene: Scene) -> bool:
    """Whether every object's colour stands out from the ground."""
    return all(distinct_from(obj.colour, scene.ground) for obj in scene.objects)


def in_frame(scene: Scene) -> bool:
    """Whether every object would lie in the frame all along, whatever its shape and angle."""
    t = np.arange(scene.n_frames)
    for obj in scene.objects:
        x, y, radius, _ = obj.pose(t)
        reach = REACH * radius
        if (np.minimum(x, y) < reach + 0.5).any() or (np.maximum(x, y) > SIZE - 0.5 - reach).any():
            return False
    return True


def well_composed(scene: Scene) -> bool:
    """Objects wholly in the frame, moving noticeably, and hardly covering each other."""
    half = (scene.n_frames - 1) / 2
    travel = [
        np.hypot(o.vx, o.vy) * 2 * half + abs(o.spin) * o.radius * half for o in scene.objects
    ]
    if max(travel) < 9 or min(travel) < 5 or not distinct(scene) or not in_frame(scene):
        return False
    visible = render_truth(scene).masks.sum(axis=(2, 3))
    whole = [render_truth(replace(scene, objects=(o,))).masks[0].sum(axis=(1, 2))
             for o in scene.objects]  # fmt: skip
    return bool((visible >= 0.85 * np.stack(whole)).all())


def _single(rng: np.random.Generator, index: int, used: Counter[str]) -> Scene:
    """A one-object scene: ground and shape are dealt in turn, then the colour least used yet."""
    ground = GROUNDS[index % len(GROUNDS)]
    shape = SHAPES[(2 * index + index // len(GROUNDS)) % len(SHAPES)]
    colours = [c for c in COLOURS if held_out(c, shape, ground) and distinct_from(c, ground)]
    colour = min(colours, key=lambda c: used[c])
    motion = MOTIONS[index % len(MOTIONS)] if index < MOVING else None
    while True:
        scene = draw_scene(rng, unseen=True, objects=1, style=STYLED.get(index, "photo"))
        obj = replace(scene.objects[0], colour=colour, shape=shape)
        if motion:
            obj = steer(obj, motion, round(rng.uniform(1.0, 1.4), 2), scene.n_frames)
        scene = replace(scene, ground=ground, motion=motion, objects=(obj,))
        if well_composed(scene):
            return scene


def _pair(rng: np.random.Generator, index: int, used: Counter[str]) -> Scene:
    """A two-object scene whose ground is dealt in turn, of colours not much used yet."""
    while True:
        scene = draw_scene(rng, unseen=True, objects=2, style="photo")
        fresh = sum(used[o.colour] for o in scene.objects) <= 2 * np.mean(list(used.values()))
        if scene.ground == GROUNDS[index % len(GROUNDS)] and fresh and well_composed(scene):
            return scene


def draw_change(
    rng: np.random.Generator, scene: Scene, names: tuple[str, ...], index: int
) -> Change:
    """A change of the named attributes whose result is well composed and well described."""
    while True:
        values = {name: str(rng.choice(VOCABULARY[name])) for name in names}
        change = Change(**values, object=index)
        try:
            target = change_scene(scene, change)
        except ValueError:
            continue
        alike = len({o.colour for o in target.objects}) < len(target.objects)
        alike |= len({o.shape for o in target.objects}) < len(target.objects)
        if distinct(target) and in_frame(target) and not alike:
            return change


def _edits(rng: np.random.Generator, scene: Scene, index: int, compounds: Iterator) -> dict:
    wanted = [("colour",), ("shape",), ("ground",), ("style",)]
    wanted += [("motion",)] if scene.motion else []
    wanted += [next(compounds)] + ([next(compounds)] if not scene.motion else [])
    target = index % len(scene.objects)
    edits = {}
    for names in wanted:
        which = target if {"colour", "shape"} & set(names) else 0
        change = draw_change(rng, scene, names, which).model_dump(exclude_none=True)
        edits["+".join(names)] = {k: v for k, v in change.items() if k != "object" or v}
    return edits


def identifier(scene: Scene) -> str:
    things = "-".join(f"{o.colour}-{o.shape}" for o in scene.objects)
    return f"{things}-{scene.ground}"


def _number(value: object) -> object:
    """Plain Python instead of NumPy's scalars, which YAML does not know."""
    return value.item() if isinstance(value, np.generic) else value


def plain_scene(scene: Scene) -> dict:
    objects = [{k: _number(v) for k, v in asdict(o).items()} for o in scene.objects]
    entry = asdict(scene) | {"objects": objects, "pan": [_number(v) for v in scene.pan]}
    return {k: v for k, v in entry.items() if v is not None}


def make_manifest(seed: int = SEED) -> dict:
    """The whole manifest as plain data."""
    rng = np.random.default_rng(seed)
    compounds = cycle(COMPOUNDS)
    used = Counter(dict.fromkeys(COLOURS, 0))
    clips: dict[str, dict] = {}
    for index in range(SINGLES + PAIRS):
        draw = _single if index < SINGLES else _pair
        scene = draw(rng, index, used)
        while identifier(scene) in clips:
            scene = draw(rng, index, used)
        used.update(obj.colour for obj in scene.objects)
        clips[identifier(scene)] = {
            "scene": plain_scene(scene),
            "edits": _edits(rng, scene, index, compounds),
        }
    return {
        "loader": "world",
        "title": "Held-out scenes of the procedural world, with oracle videos of every edit",
        "licence": "CC0-1.0",
        "attribution": "Crossframe",
        "fps": 8.0,
        "clips": clips,
    }


class Dumper(yaml.SafeDumper):
    """Short flat mappings and lists on one line each."""

    def represent_mapping(self, tag, mapping, flow_style=None):
        flat = all(not isinstance(value, dict | list) for value in dict(mapping).values())
        return super().represent_mapping(tag, mapping, flow_style=flat and len(mapping) < 12)

    def represent_sequence(self, tag, sequence, flow_style=None):
        flat = all(not isinstance(value, dict | list) for value in sequence)
        return super().represent_sequence(tag, sequence, flow_style=flat)


def main() -> None:
    """Write the manifest."""
    manifest = make_manifest()
    text = yaml.dump(manifest, Dumper=Dumper, sort_keys=False, width=100)
    MANIFEST.write_text(HEADER.format(n=len(manifest["clips"])) + text, encoding="utf-8")
    print(f"{MANIFEST}: {len(manifest['clips'])} clips")


if __name__ == "__main__":
    main()
