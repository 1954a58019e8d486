"""Measure the embedded models against what they must reach, on what training never showed.

``python -m models.evaluate`` writes ``evaluation.json`` beside each model and the table of its
card. Samples come from diffusers' own StableDiffusionPipeline; the analyser reads them from pixels.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from diffusers import StableDiffusionPipeline
from scipy.stats import binomtest

from data.clip import Clip
from data.progress import Progress
from data.world.analyser import analyse
from data.world.grammar import caption
from data.world.render import render_frames
from data.world.sample import draw_scene
from data.world.vocabulary import COLOURS, GROUNDS, SHAPES, STYLES
from methods.backbones.load import load_backbone
from methods.base import Context, run_cell
from methods.registry import get_method
from metrics.extractors import world_clip
from models.training import generator
from models.world_images import world_images

SEED = 2024


def proportion(hits: int, n: int) -> dict[str, float | int]:
    """A share with its 95 % Wilson interval."""
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return {"value": hits / n, "low": interval.low, "high": interval.high, "n": n}


def mean(values: np.ndarray) -> dict[str, float | int]:
    """A mean with its 95 % normal interval."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    middle = float(values.mean())
    return {"value": middle, "low": middle - half, "high": middle + half, "n": len(values)}


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) dB between (N, H, W, 3) uint8 pictures."""
    mse = ((a.astype(float) - b.astype(float)) ** 2).reshape(len(a), -1).mean(1)
    return 10 * np.log10(255**2 / np.maximum(mse, 1e-9))


def sampling(folder: Path, count: int, guidance_scale: float) -> dict[str, dict]:
    """Share of samples from held-out captions that show the right colour, shape and ground."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    progress, hits = Progress("sample", count), np.zeros((count, 4), bool)
    for first in range(0, count, 20):
        scenes = [
            draw_scene(np.random.default_rng([SEED, k]), unseen=True, objects=1, style="photo")
            for k in range(first, min(first + 20, count))
        ]
        scenes = [replace(scene, motion=None) for scene in scenes]
        pictures = pipe(
            [caption(scene) for scene in scenes],
            height=64,
            width=64,
            num_inference_steps=50,
            guidance_scale=guidance_scale,
            output_type="np",
            generator=[generator(SEED, first + k) for k in range(len(scenes))],
        ).images
        for k, (scene, picture) in enumerate(zip(scenes, pictures, strict=True)):
            reading = analyse((picture * 255).round().astype(np.uint8), most=1)
            thing, found = scene.objects[0], reading.objects
            hits[first + k] = (
                bool(found) and found[0].colour == thing.colour,
                bool(found) and found[0].shape == thing.shape,
                reading.ground == scene.ground,
                reading.shows(thing.colour, thing.shape, scene.ground),
            )
        progress.update(len(scenes), f"{hits[: first + len(scenes), 3].mean():.1%} right")
    names = ("colour", "shape", "ground", "all three")
    return {name: proportion(int(hits[:, k].sum()), count) for k, name in enumerate(names)}


def reconstruction(name: str, count: int) -> dict[str, dict]:
    """PSNR of held-out frames through the autoencoder, and through inversion and back."""
    backbone = load_backbone(name)
    method = get_method("reconstruct")
    frames, captions = world_images(count, SEED, unseen=True)
    encoded = backbone.decode(backbone.encode(frames))
    setting = method.Setting(n_timesteps=50)
    progress, back = Progress("invert and reconstruct", count), []
    for frame, prompt in zip(frames, captions, strict=True):
        clip = Clip("frame", "world", frame[None], prompt)
        back.append(run_cell(method, _invert(method, setting, backbone, clip)))
        progress.update()
    inverted = np.concatenate(back)
    return {
        "autoencoder PSNR": mean(psnr(encoded, frames)),
        "inversion PSNR": mean(psnr(inverted, frames)),
        "lost by inversion": mean(psnr(encoded, frames) - psnr(inverted, frames)),
    }


def _invert(method, setting, backbone, clip: Clip) -> Context:
    from methods.inversion import invert

    spec = method.inversion(setting, clip.prompt)
    inversion = invert(backbone, backbone.encode(clip.frames), spec)
    return Context(clip, None, setting, 0, backbone, inversion)


def _neighbours(scene) -> list[str]:
    """Captions that differ from a one-object scene's by one word."""
    thing = scene.objects[0]
    others = [replace(scene, objects=(replace(thing, colour=c),)) for c in COLOURS]
    others += [replace(scene, objects=(replace(thing, shape=s),)) for s in SHAPES]
    others += [replace(scene, ground=g) for g in GROUNDS] + [
        replace(scene, style=s) for s in STYLES
    ]
    return [caption(other) for other in others]


def retrieval(count: int) -> dict[str, dict]:
    """Share of held-out pictures whose caption CLIP ranks first of 100.

    Among the 99 others are all that differ by one word; the rest are random captions.
    """
    clip, hits = world_clip(), 0
    for k in range(count):
        rng = np.random.default_rng([SEED, 7, k])
        scene = replace(draw_scene(rng, unseen=True, objects=1), motion=None)
        captions = dict.fromkeys([caption(scene), *_neighbours(scene)])
        while len(captions) < 100:
            captions[caption(replace(draw_scene(rng, unseen=bool(k % 2)), motion=None))] = None
        picture = render_frames(scene, [int(rng.integers(scene.n_frames))])
        image, text = clip.encode_image(picture), clip.encode_text(list(captions))
        hits += int((image @ text.T).argmax()) == 0
    return {"caption picked out of 100": proportion(hits, count)}


def write_card(evaluation: Path) -> None:
    """Put an evaluation's figures between the card's two markers."""
    rows = [
        "| measured on held-out data | value | 95 % interval | n |",
        "| --- | --- | --- | --- |",
    ]
    for part, results in json.loads(evaluation.read_text()).items():
        for name, v in results.items():
            rows.append(
                f"| {part}: {name} | {v['value']:.3f} | {v['low']:.3f} to {v['high']:.3f} "
                f"| {v['n']} |"
            )
    card = evaluation.parent / "README.md"
    before, _, rest = card.read_text().partition("<!-- evaluation -->")
    _, _, after = rest.partition("<!-- /evaluation -->")
    table = "\n".join(["<!-- evaluation -->", *rows, "<!-- /evaluation -->"])
    card.write_text(before + table + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("sampling", "reconstruction", "retrieval"))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--guidance", type=float, default=6.0)
    args = parser.parse_args()
    folders = {"sampling": "world-tiny", "reconstruction": "world-tiny", "retrieval": "world-clip"}
    runs = {
        "sampling": lambda: sampling(Path("models/world-tiny"), args.count, args.guidance),
        "reconstruction": lambda: reconstruction("world-tiny", args.count),
        "retrieval": lambda: retrieval(args.count),
    }
    for part, run in runs.items():
        if args.only in (None, part):
            results = run()
            path = Path("models") / folders[part] / "evaluation.json"
            known = json.loads(path.read_text()) if path.exists() else {}
            path.write_text(json.dumps({**known, part: results}, indent=2) + "\n")
            write_card(path)
            for name, value in results.items():
                print(
                    f"{part}: {name} {value['value']:.3f} "
                    f"[{value['low']:.3f}, {value['high']:.3f}], n = {value['n']}"
                )


if __name__ == "__main__":
    main()
