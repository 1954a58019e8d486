"""A made-up experiment: rendered clips, perturbed frames, known scores, some failures.

What a report shows can be tested without running a model; the results are written through the
engine's own store, so they have the shape of real ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import ndimage

from data.clip import Clip, Edit
from data.instructed import InstructedEdit
from data.world.grammar import caption
from data.world.render import render_frames
from data.world.sample import draw_scene
from experiments.store import Store
from reports.cards import Catalogue, Field, MethodCard, MetricCard

FRAMES = 8
HOSTILE = "<script>alert('x')</script> & \"quotes\" 50 % $x_1$ #{~^}\\"
EDITS = ("colour", "ground", "shape+colour")
RECIPES = {
    "clip_text@world-tiny": (True, "×100"),
    "clip_consistency@world-tiny": (True, "×100"),
    "warp_error@exact": (False, "×10³"),
    "psnr_oracle@rgb": (True, "dB"),
    "lpips_source@squeeze": (False, ""),
    "dynamic_degree@dis": (None, "px"),
    "pick_score@v1": (True, ""),  # its extractor is missing: never defined
}
BLUR = {"source": 0.0, "oracle": 0.0, "reconstruct": 0.5, "sdedit": 1.6, "pnp": 0.9}
BLUR |= {"tokenflow": 0.7}


@lru_cache
def world_clip(dataset: str, name: str) -> Clip:
    """A rendered clip with its edits; which one, its name decides."""
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    scene = draw_scene(rng, objects=1, style="photo", n_frames=FRAMES)
    first = scene.objects[0]
    blue = replace(first, colour="blue" if first.colour != "blue" else "red")
    both = replace(blue, shape="star" if first.shape != "star" else "square")
    scenes = {
        "colour": replace(scene, objects=(blue,)),
        "ground": replace(scene, ground="snow" if scene.ground != "snow" else "sand"),
        "shape+colour": replace(scene, objects=(both,)),
    }
    edits = {
        key: Edit(key, key, caption(target), oracle=render_frames(target))
        for key, target in scenes.items()
    }
    if dataset != "world":
        edits = {}
    return Clip(name, dataset, render_frames(scene), caption(scene), edits=edits)


def instructed(clip: Clip) -> Clip:
    """The clip with the edit of its ground asked for by a sentence too."""
    if "ground" not in clip.edits:
        return clip
    edit = InstructedEdit(**vars(clip.edits["ground"]), instruction="turn the ground to another")
    return replace(clip, edits=clip.edits | {"ground": edit})


class FixtureCatalogue(Catalogue):
    """Cards and clips of the made-up experiment."""

    def __init__(self, text: str = "") -> None:
        self.text = text  # appended wherever foreign text may stand

    def method(self, name: str) -> MethodCard:
        fields = (
            Field("n_timesteps", "20", "≥ 1", "Denoising steps."),
            Field("pnp_f_t", "0.8", "≥ 0, ≤ 1", f"Share of steps with injection. {self.text}"),
        )
        return MethodCard(
            name,
            doc=f"What ``{name}`` does.\n\nSecond paragraph, https://arxiv.org/abs/0000.00000. "
            f"{self.text}",
            paper="Somebody et al., A Conference 2023",
            fields=fields if name in ("pnp", "tokenflow") else fields[:1],
            control=name in ("source", "oracle", "reconstruct"),
        )

    def metric(self, recipe: str) -> MetricCard:
        higher, unit = RECIPES[recipe]
        return MetricCard(
            recipe, doc=f"Defined exactly. {self.text}", citation="Hessel et al., EMNLP 2021",
            version="1", unit=unit, higher_is_better=higher, range=(0.0, 100.0),
        )  # fmt: skip

    def clip(self, dataset: str, clip: str) -> Clip:
        return instructed(world_clip(dataset, clip))

    def clip_digest(self, dataset: str, clip: str) -> str:
        return hashlib.sha256(world_clip(dataset, clip).frames.tobytes()).hexdigest()

    def backbone_digest(self, name: str) -> str:
        return "5f" * 32


def fabricate(
    root: Path,
    *,
    clips: int = 6,
    seeds: int = 2,
    title: str = "Quickstart",
    label: str = "",
    failures: bool = True,
    frames: int = FRAMES,
    pictures: bool = True,
) -> str:
    """Write an experiment named ``made`` under a root; returns that name.

    ``label`` is given to TokenFlow's rows; ``failures`` breaks SDEdit on one edit of one clip;
    without ``pictures`` there is a table only, and no cell.
    """
    store, lines = Store(root / "results"), []
    methods = [
        (name, {"n_timesteps": 20} | extra)
        for name, extras in (
            ("source", [{}]), ("reconstruct", [{}]), ("oracle", [{}]), ("sdedit", [{}]),
            ("pnp", [{"pnp_f_t": 0.4}, {"pnp_f_t": 0.8}]),
            ("tokenflow", [{"pnp_f_t": 0.4}, {"pnp_f_t": 0.8}]),
        )
        for extra in extras
    ]  # fmt: skip
    requests = [("world", f"clip-{n:02d}", edit) for n in range(clips) for edit in EDITS]
    requests.append(("footage", "bikes", ""))
    for method, setting in methods:
        for dataset, clip, edit in requests:
            if not edit and method not in ("source", "reconstruct"):
                continue
            for seed in range(seeds):
                fails = failures and method == "sdedit" and clip == "clip-00" and edit == "ground"
                identity = (method, setting, clip, edit if method not in ("source", "reconstruct")
                            else "", seed if method == "sdedit" else 0)  # fmt: skip
                cell = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
                line = {
                    "experiment": "made", "cell": cell, "method": method,
                    "label": label if method == "tokenflow" else "", "backbone": "world-tiny",
                    "dataset": dataset, "clip": clip, "edit": edit, "edit_kind": edit,
                    "seed": seed, "status": "ok", "n_frames": frames, **setting,
                }  # fmt: skip
                rng = np.random.default_rng(int(cell[:8], 16))
                if fails:
                    line |= {"status": "error: RuntimeError"}
                    trace = f'Traceback:\n  File "{root.resolve()}/methods/sdedit.py"\n{HOSTILE}'
                    store.write_failure(cell, line["status"], trace, _record(method, rng))
                elif not pictures:
                    line |= _numbers(line, setting, rng)
                else:
                    line |= _run(store, line, world_clip(dataset, clip), setting, rng)
                lines.append(line)
    (root / "results").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(lines).to_parquet(root / "results" / "made.parquet")
    (root / "experiments").mkdir(exist_ok=True)
    spec = {"title": title, "description": "Six methods on rendered clips.", "metrics": [*RECIPES]}
    (root / "experiments" / "made.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return "made"


def _record(method: str, rng: np.random.Generator) -> dict:
    heavy = method not in ("source", "oracle")
    base = {"sdedit": 2.0, "pnp": 4.0, "tokenflow": 6.5}.get(method, 1.0) * heavy
    cost = {
        "seconds_load": 1.4 * heavy,
        "seconds_invert": 3.1 * (heavy and method != "sdedit"),
        "seconds_edit": base * rng.uniform(0.9, 1.1),
        "seconds_decode": 0.2 * heavy,
        "network_evaluations": int(160 * base),
        "peak_memory_mb": 900.0 + 40 * base,
        "hardware_id": "cpu-1234",
    }
    libraries = {"torch": "2.9", "numpy": "2.3"}
    return {"cost": cost, "provenance": {"commit": "abc1234", "libraries": libraries}}


def _blur(method: str, setting: dict) -> float:
    """How far, in pixels, a method's frames are from the truth."""
    return BLUR[method] + (0.5 if setting.get("pnp_f_t") == 0.4 else 0.0)


def _numbers(line: dict, setting: dict, rng: np.random.Generator) -> dict:
    """Scores that order the methods by their blur, and costs."""
    blur = _blur(line["method"], setting)
    scores = {name: 30 - 5 * blur + rng.normal(0, 0.1) for name in RECIPES}
    scores["pick_score@v1"] = np.nan
    if not line["edit"]:
        scores["psnr_oracle@rgb"] = np.nan
    cost = _record(line["method"], rng)["cost"]
    return scores | cost | {"seconds_per_frame": cost["seconds_edit"] / line["n_frames"]}


def _run(store: Store, line: dict, clip: Clip, setting: dict, rng: np.random.Generator) -> dict:
    """Write a cell that went well; returns its scores and costs as columns."""
    method, edit = line["method"], clip.edits.get(line["edit"])
    edits = method not in ("source", "reconstruct") and edit is not None
    n, blur = line["n_frames"], _blur(method, setting)
    source = clip.frames[:n].astype(float)
    target = edit.oracle[:n].astype(float) if edits else source
    frames = ndimage.gaussian_filter(target, (0, blur, blur, 0)) if blur else target
    noise = rng.normal(0, 4 * (blur > 0), frames.shape)
    frames = np.clip(frames + noise, 0, 255).round().astype(np.uint8)
    record = _record(method, rng)
    store.write_frames(line["cell"], frames, record)
    truth = edit.oracle[:n].astype(float) if edit else source
    error = ((frames - truth) ** 2).mean(axis=(1, 2, 3))
    drift = (np.diff(frames.astype(float), axis=0) ** 2).mean(axis=(1, 2, 3))
    traces = {
        "clip_text@world-tiny": 31 - 3 * blur - np.sqrt(error) / 8 + rng.normal(0, 0.3, n),
        "clip_consistency@world-tiny": 97 - drift / 200,
        "warp_error@exact": drift / 100,
        "psnr_oracle@rgb": 10 * np.log10(255**2 / np.maximum(error, 1e-3)),
        "lpips_source@squeeze": ((frames - source) ** 2).mean((1, 2, 3)) / 2e4,
        "dynamic_degree@dis": np.sqrt(drift) / 10,
    }
    if not line["edit"]:
        del traces["psnr_oracle@rgb"]
    scores = {
        name: {"value": float(trace.mean()), "per_frame": trace.tolist(), "version": "1"}
        for name, trace in traces.items()
    }
    for name in RECIPES.keys() - scores.keys():
        scores[name] = {"value": None, "per_frame": [], "reason": f"no weights <b>of</b> {name}"}
    store.write_scores(line["cell"], {line["edit"]: scores})
    cost = dict(record["cost"])
    cost["seconds_per_frame"] = cost["seconds_edit"] / n
    values = {k: v["value"] if v["value"] is not None else np.nan for k, v in scores.items()}
    return values | cost
