"""Measure the embedded instruction editor on triples that training never showed.

``python -m models.evaluate_step1x`` writes ``models/world-step1x/evaluation.json`` and the table of
its card. Edits come from the method ``step1x-edit`` itself; the analyser reads them from pixels and
is held to what the target scene shows, so its own mistakes count against the model.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.clip import Clip
from data.instructed import InstructedEdit
from data.progress import Progress
from data.world.analyser import analyse
from data.world.edits import VOCABULARY, Change, change_scene
from data.world.instruct import PHRASINGS, instruction, shows_held_out
from data.world.make_manifest import distinct, in_frame
from data.world.render import render_frames, render_truth
from data.world.sample import draw_scene
from data.world.scene import Scene
from methods.backbones.families import load
from methods.base import Context, run_cell
from methods.registry import get_method
from metrics.base import Sample
from metrics.pixels import psnr, untouched
from models.evaluate import mean, proportion, write_card

NAME = "world-step1x"
SEED = 2024
SETTING = {"num_inference_steps": 28, "guidance_scale": 2.0}


@dataclass(frozen=True)
class HeldOut:
    """A triple whose source or target is a combination that training never shows."""

    source: Scene  # of one frame
    target: Scene
    kind: str
    instruction: str


def held_out_triples(count: int, seed: int = SEED, objects: int = 1) -> list[HeldOut]:
    """Triples by kind in turn, by phrasing in turn, and held out by source and target in turn.

    Objects lie in the frame and stand out from the ground, before and after.
    """
    found: list[HeldOut] = []
    draw = 0
    while len(found) < count:
        index, draw = len(found), draw + 1
        rng = np.random.default_rng([seed, 9, draw])
        by_source = index // 6 % 2 == 0
        scene = draw_scene(rng, unseen=by_source, objects=objects, style="photo", n_frames=1)
        scene = replace(scene, motion=None)
        kind = list(PHRASINGS)[index % 3]
        which = int(rng.integers(objects)) if kind != "ground" else 0
        change = Change(**{kind: str(rng.choice(VOCABULARY[kind]))}, object=which)
        try:
            target = change_scene(scene, change)
        except ValueError:  # nothing would change
            continue
        tellable = all(
            len({getattr(o, name) for o in target.objects}) == objects
            for name in ("colour", "shape")
        )
        fits = distinct(scene) and distinct(target) and in_frame(scene) and tellable
        if fits and (by_source or shows_held_out(target)):
            text = instruction(scene, change, index // 3 % 2)
            found.append(HeldOut(scene, target, kind, text))
    return found


def sample_of(triple: HeldOut) -> Sample:
    """The triple as metrics see it, the source standing for the edit."""
    source, truth = render_frames(triple.source), render_truth(triple.source)
    edit = InstructedEdit(
        "edit",
        triple.kind,
        "",
        oracle=render_frames(triple.target),
        oracle_masks=render_truth(triple.target).masks,
        instruction=triple.instruction,
    )
    clip = Clip("triple", "world", source, "", masks=truth.masks, edits={"edit": edit})
    return Sample(source, clip, edit)


def shown(frame: np.ndarray, target: Scene) -> dict[str, bool]:
    """Which attributes of the target a picture shows: each object's, the largest first."""
    reading = analyse(frame, most=len(target.objects))
    found = sorted((o.colour, o.shape) for o in reading.objects)
    wanted = sorted((o.colour, o.shape) for o in target.objects)
    same = {
        name: sorted(pair[k] for pair in found) == sorted(pair[k] for pair in wanted)
        for k, name in enumerate(("colour", "shape"))
    }
    return same | {"ground": reading.ground == target.ground}


def editing(count: int, setting: dict[str, float], objects: int = 1) -> dict[str, dict]:
    """Attributes asked for and kept, and PSNR to the source outside what was to change."""
    backbone, method = load(NAME, "cpu", "float32"), get_method("step1x-edit")
    triples = held_out_triples(count, objects=objects)
    progress, rows = Progress("edit", count), []
    for seed, triple in enumerate(triples):
        sample = sample_of(triple)
        chosen = method.Setting(**setting)
        frames = run_cell(method, Context(sample.clip, sample.edit, chosen, seed, backbone))
        outside, _ = untouched(sample)
        read = shown(frames[0], triple.target)
        rows.append(
            {
                "kind": triple.kind,
                "asked": read[triple.kind],
                "all": all(read.values()),
                "outside": np.nan
                if outside is None
                else psnr(frames, sample.clip.frames, outside)[0],
                "oracle": psnr(frames, sample.edit.oracle)[0],
            }
        )
        asked = np.mean([row["asked"] for row in rows])
        progress.update(1, f"{asked:.1%} as asked")
    return summary(rows)


def summary(rows: list[dict]) -> dict[str, dict]:
    """The figures of a card."""
    found = {"attribute asked for": proportion(sum(r["asked"] for r in rows), len(rows))}
    for kind in PHRASINGS:
        those = [row["asked"] for row in rows if row["kind"] == kind]
        found[f"{kind} asked for"] = proportion(sum(those), len(those))
    found["colour, shape and ground right"] = proportion(sum(r["all"] for r in rows), len(rows))
    outside = np.array([row["outside"] for row in rows])
    found["PSNR outside the object"] = mean(outside[~np.isnan(outside)])
    found["PSNR to the true answer, ground kept"] = mean(
        np.array([row["oracle"] for row in rows if row["kind"] != "ground"])
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=210)
    parser.add_argument("--guidance", type=float, default=SETTING["guidance_scale"])
    parser.add_argument("--objects", type=int, default=1, choices=(1, 2))
    args = parser.parse_args()
    results = editing(args.count, SETTING | {"guidance_scale": args.guidance}, args.objects)
    path = Path("models") / NAME / "evaluation.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    part = "one object" if args.objects == 1 else "two objects"
    path.write_text(json.dumps({**known, part: results}, indent=2) + "\n")
    write_card(path)
    for name, value in results.items():
        print(f"{part}: {name} {value['value']:.3f} "
              f"[{value['low']:.3f}, {value['high']:.3f}], n = {value['n']}")  # fmt: skip


if __name__ == "__main__":
    main()
