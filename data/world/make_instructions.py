"""Write data/instructions.yaml: ``python -m data.world.make_instructions``.

Pictures and short clips whose (colour, shape, ground) combinations training never shows, neither
as source nor as target; each with a new colour, a new shape and a new ground, in both phrasings.
The result is written out in full, so that the manifest, not this program, defines the dataset.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from data.world.instruct import PHRASINGS
from data.world.make_manifest import (
    Dumper,
    distinct,
    distinct_from,
    draw_change,
    identifier,
    in_frame,
    plain_scene,
)
from data.world.sample import draw_scene
from data.world.scene import Scene
from data.world.vocabulary import COLOURS, GROUNDS, SHAPES, held_out

MANIFEST = Path(__file__).parents[1] / "instructions.yaml"
SEED = 9
PICTURES, PAIRS, MOVING = 18, 4, 6  # one object; two objects; one object in 8 frames
FRAMES = 8
HEADER = """\
# Instructions: {n} pictures and clips of held-out (colour, shape, ground) combinations, each with a
# new colour, shape and ground asked for in a sentence (data/world/instruct.py).
# Written by `python -m data.world.make_instructions`. Lengths are in pixels, angles in radians.
"""


def _single(rng: np.random.Generator, index: int, used: Counter[str], frames: int) -> Scene:
    """Ground and shape are dealt in turn, then the colour least used yet."""
    ground = GROUNDS[index % len(GROUNDS)]
    shape = SHAPES[(2 * index + index // len(GROUNDS)) % len(SHAPES)]
    colours = [c for c in COLOURS if held_out(c, shape, ground) and distinct_from(c, ground)]
    colour = min(colours, key=lambda c: used[c])
    while True:
        scene = draw_scene(rng, unseen=True, objects=1, style="photo", n_frames=frames)
        thing = replace(scene.objects[0], colour=colour, shape=shape)
        scene = replace(scene, ground=ground, motion=None, objects=(thing,))
        if in_frame(scene):
            return scene


def _pair(rng: np.random.Generator, index: int) -> Scene:
    """Two objects that stand out from a ground dealt in turn."""
    while True:
        scene = draw_scene(rng, unseen=True, objects=2, style="photo", n_frames=1)
        if scene.ground == GROUNDS[index % len(GROUNDS)] and distinct(scene) and in_frame(scene):
            return scene


def _still(scene: Scene) -> Scene:
    """One frame of it, with no rates to write down."""
    things = tuple(replace(o, vx=0.0, vy=0.0, spin=0.0, growth=1.0) for o in scene.objects)
    return replace(scene, objects=things, pan=(0.0, 0.0))


def make_instructions(seed: int = SEED) -> dict:
    """The whole manifest as plain data."""
    rng = np.random.default_rng(seed)
    used, clips = Counter(dict.fromkeys(COLOURS, 0)), {}
    for index in range(PICTURES + PAIRS + MOVING):
        if index < PICTURES:
            scene, prefix = _still(_single(rng, index, used, 1)), ""
        elif index < PICTURES + PAIRS:
            scene, prefix = _still(_pair(rng, index)), ""
        else:
            scene, prefix = _single(rng, index, used, FRAMES), "moving-"
        used.update(obj.colour for obj in scene.objects)
        edits = {}
        for kind in PHRASINGS:
            which = index % len(scene.objects) if kind != "ground" else 0
            change = draw_change(rng, scene, (kind,), which).model_dump(exclude_none=True)
            phrasing = {"phrasing": index % 2} if index % 2 else {}
            edits[kind] = {k: v for k, v in change.items() if k != "object" or v} | phrasing
        clips[prefix + identifier(scene)] = {"scene": plain_scene(scene), "edits": edits}
    return {
        "loader": "instructions",
        "title": "Instructions to the procedural world, with the true answer to each",
        "licence": "CC0-1.0",
        "attribution": "Crossframe",
        "fps": 8.0,
        "clips": clips,
    }


def main() -> None:
    """Write the manifest."""
    manifest = make_instructions()
    text = yaml.dump(manifest, Dumper=Dumper, sort_keys=False, width=100)
    MANIFEST.write_text(HEADER.format(n=len(manifest["clips"])) + text, encoding="utf-8")
    print(f"{MANIFEST}: {len(manifest['clips'])} clips")


if __name__ == "__main__":
    main()
