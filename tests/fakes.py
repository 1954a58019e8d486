"""Everything that a fake experiment can name, and such an experiment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from data.errors import unknown
from experiments.catalogue import Catalogue
from metrics.base import Metric, Sample, Score
from tests.fake_clips import FakeDataset
from tests.fake_methods import Answer, Blend, Same, Velocity
from tests.fake_network import FakeBackbone, FakeInversion, invert


class Mean(Metric):
    """Mean pixel, and the length of the target prompt, which depends on the edit."""

    recipe = "mean@pixels"
    higher_is_better = None
    range = (0.0, 1e3)
    citation = "none"

    def compute(self, sample: Sample) -> Score:
        asked = len(sample.edit.prompt) if sample.edit else 0
        per_frame = tuple(float(f.mean()) + asked for f in sample.frames)
        return Score(float(np.mean(per_frame)), per_frame)


class Broken(Metric):
    """A metric that raises."""

    recipe = "broken@pixels"
    higher_is_better = True
    range = (0.0, 1.0)
    citation = "none"

    def compute(self, sample: Sample) -> Score:
        raise ZeroDivisionError("no pixels")


METRICS = {m.recipe: m for m in (Mean, Broken)}


def _named(kind: str, name: str, things: dict[str, Any]) -> Any:
    if name not in things:
        raise unknown(kind, name, things)
    return things[name]


def fake_catalogue() -> Catalogue:
    """Everything the fake experiments can name."""
    info = SimpleNamespace(name="toy", digest="d1", prediction_type="epsilon")
    return Catalogue(
        methods={m.name: m for m in (Blend(), Same(), Answer(), Velocity())},
        recipes=tuple(METRICS),
        datasets=("toys",),
        backbones=("toy",),
        dataset=lambda name: _named("dataset", name, {"toys": FakeDataset()}),
        backbone=lambda name: _named("backbone", name, {"toy": info}),
        promised_backbone=lambda name: _named("backbone", name, {"toy": info}),
        load_backbone=lambda name, device, dtype: FakeBackbone(),
        forecast=lambda name, setting, dtype: None,
        metric=lambda recipe: _named("metric", recipe, METRICS)(),
        warm_up=lambda backbone, frames: backbone.predict(frames / 255, 0, 1.0),
        invert=invert,
        load_inversion=FakeInversion.load,
        backbone_modules={},
        inversion_modules=(),
    )


EXPERIMENT = """\
title: Toy sweep
backbones: [toy]
clips:
  - dataset: toys
    ids: [disc, ring]
    methods: [blend, same]
  - dataset: toys
    ids: [still]
    edits: none
    methods: [same]
methods:
  - name: same
  - name: blend
    setting: {n_timesteps: 6}
    grid: {share: [0.0, 0.5, 1.0], guidance: [1.0, 3.0]}
seeds: [0, 1]
metrics: [mean@pixels]
"""


def write_experiment(folder: Path, text: str = EXPERIMENT, name: str = "toy") -> Path:
    """An experiment file in a folder."""
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path
