"""A torch-free dataset, backbone and methods with which the engine is tested by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from pydantic import Field

from data.clip import Clip, Edit
from data.digest import clip_digest, edit_digest, frames_digest
from data.errors import unknown
from data.source import EditSummary
from experiments.catalogue import Catalogue
from methods.base import Context, InversionSpec, Method, Requirements, Setting, State, StepPlan
from metrics.base import Metric, Sample, Score

N, SIZE = 4, 16
EDITS = {"colour": "a blue disc", "shape": "a red square"}
CLIPS = ("disc", "ring", "still")


def make_clip(name: str) -> Clip:
    """Noise that moves one pixel per frame; the clip ``still`` has no edits."""
    rng = np.random.default_rng(CLIPS.index(name))
    first = rng.integers(40, 220, (SIZE, SIZE, 3), dtype=np.uint8)
    frames = np.stack([np.roll(first, shift, axis=1) for shift in range(N)])
    edits = {
        key: Edit(key, key, prompt, (("red", "blue"),), 255 - frames if key == "colour" else None)
        for key, prompt in ({} if name == "still" else EDITS).items()
    }
    return Clip(name, "toys", frames, f"a red {name}", edits=edits)


class FakeDataset:
    """Three tiny clips."""

    name = "toys"
    clip_ids = list(CLIPS)

    def clip(self, clip_id: str) -> Clip:
        return make_clip(clip_id)

    def summary(self, clip_id: str) -> Any:
        clip = make_clip(clip_id)
        return SimpleNamespace(
            n_frames=N,
            prompt=clip.prompt,
            edits={
                e.id: EditSummary(e.kind, e.prompt, e.words, e.oracle is not None)
                for e in clip.edits.values()
            },
            digest=clip_digest(frames_digest(clip.frames), clip.prompt),
            edit_digests={
                e.id: edit_digest(
                    e.prompt, e.words, None if e.oracle is None else frames_digest(e.oracle)
                )
                for e in clip.edits.values()
            },
        )


@dataclass
class NumpyState:
    """A state on arrays."""

    latents: np.ndarray
    extra: dict[str, Any] = field(default_factory=dict)

    def fork(self) -> NumpyState:
        return NumpyState(self.latents.copy(), dict(self.extra))

    def pack(self) -> dict[str, np.ndarray]:
        return {k: np.asarray(v) for k, v in ({"latents": self.latents} | self.extra).items()}

    @classmethod
    def unpack(cls, arrays: Mapping[str, np.ndarray]) -> NumpyState:
        extra = dict(arrays)
        return cls(extra.pop("latents"), extra)


@dataclass
class FakeBackbone:
    """Counts evaluations; its noise is a fixed nonlinear function."""

    evaluations: int = 0

    def predict(self, latents: np.ndarray, timestep: int, weight: float) -> np.ndarray:
        self.evaluations += len(latents)
        return np.sin(latents * (1 + timestep / 10)) * weight


@dataclass
class FakeInversion:
    """Latents that remember what they were made from."""

    latents: np.ndarray

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".part")
        with temporary.open("wb") as stream:
            np.save(stream, self.latents)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> FakeInversion:
        with path.open("rb") as stream:
            return cls(np.load(stream))


def invert(backbone: FakeBackbone, frames: np.ndarray, spec: InversionSpec) -> FakeInversion:
    latents = frames.astype(np.float64) / 255
    for t in range(spec.steps):
        latents = latents + backbone.predict(latents, t, 0.01)
    return FakeInversion(latents)


class BlendSetting(Setting):
    """Settings of the fake method."""

    n_timesteps: int = Field(6, ge=1, le=20, description="denoising steps")
    share: float = Field(0.5, ge=0, le=1, description="share of steps with injection")
    guidance: float = Field(2.0, ge=0, le=10, description="strength of the edit")
    trouble: str = Field("", description="what goes wrong")


@dataclass(frozen=True)
class BlendPlan(StepPlan):
    inject: bool
    guidance: float
    trouble: str


class Blend(Method):
    """A stepper on arrays with an injection share, noise per step and troubles on demand."""

    name = "blend"
    paper = "none"
    requires = Requirements(inversion=True)
    Setting = BlendSetting
    State = NumpyState

    def inversion(self, setting: BlendSetting, clip_prompt: str) -> InversionSpec:
        return InversionSpec(5, (1, 2), clip_prompt)

    def plan(self, setting: BlendSetting, n_frames: int) -> Sequence[BlendPlan]:
        n = setting.n_timesteps
        return [
            BlendPlan(
                timestep=n - k,
                evaluations=2 * n_frames,
                source_evaluations=n_frames,
                inject=k < int(n * setting.share),
                guidance=setting.guidance,
                trouble=setting.trouble if k == n // 2 else "",
            )
            for k in range(n)
        ]

    def start(self, ctx: Context) -> NumpyState:
        return NumpyState(ctx.inversion.latents.copy())

    def step(self, ctx: Context, state: NumpyState, plan: BlendPlan, k: int) -> NumpyState:
        if plan.trouble == "setting":
            _ = ctx.setting.guidance
        if plan.trouble == "crash":
            raise RuntimeError("the network is on fire")
        if plan.trouble == "memory":
            raise MemoryError
        if plan.trouble == "nan":
            return NumpyState(state.latents * np.nan)
        if plan.trouble in ("black", "constant", "frozen"):
            return NumpyState(state.latents, {"trouble": plan.trouble})
        rng = np.random.default_rng([ctx.seed, k])
        noise = ctx.backbone.predict(state.latents, plan.timestep, plan.guidance / 50)
        target = len(ctx.edit.prompt) / 100
        source = ctx.shared(
            plan.timestep, lambda: ctx.backbone.predict(ctx.inversion.latents, plan.timestep, 0.001)
        )
        noise = noise + source + rng.normal(0, 0.01, noise.shape)
        state.latents += noise + target / 50  # in place
        if plan.inject:
            state.latents = 0.9 * state.latents + 0.1 * ctx.inversion.latents
        return state

    def finish(self, ctx: Context, state: NumpyState) -> np.ndarray:
        frames = (np.clip(state.latents, 0, 1) * 255).astype(np.uint8)
        trouble = state.extra.get("trouble")
        if trouble == "black":
            return np.zeros_like(frames)
        if trouble == "constant":
            return np.full_like(frames, 90)
        if trouble == "frozen":
            return np.repeat(ctx.clip.frames[:1], len(frames), axis=0)
        return frames


class NoSetting(Setting):
    """Nothing to set."""


class _Still(Method):
    stochastic = False
    Setting = NoSetting
    paper = "none"

    def plan(self, setting: NoSetting, n_frames: int) -> Sequence[StepPlan]:
        return []

    def start(self, ctx: Context) -> None:
        return None

    def step(self, ctx: Context, state: State, plan: StepPlan, k: int) -> State:
        raise AssertionError

    def finish(self, ctx: Context, state: None) -> np.ndarray:
        return ctx.clip.frames.copy()


class Same(_Still):
    """The source."""

    name = "same"
    requires = Requirements(backbone=False, edit=False)


class Answer(_Still):
    """The known answer."""

    name = "answer"
    requires = Requirements(backbone=False, oracle=True)

    def finish(self, ctx: Context, state: None) -> np.ndarray:
        return ctx.edit.oracle.copy()


class Velocity(_Still):
    """Fits no backbone here."""

    name = "velocity"
    requires = Requirements(prediction=("velocity",))


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
        load_backbone=lambda name, device, dtype: FakeBackbone(),
        metric=lambda recipe: _named("metric", recipe, METRICS)(),
        warm_up=lambda backbone, frames: backbone.predict(frames / 255, 0, 1.0),
        invert=invert,
        load_inversion=FakeInversion.load,
        backbone_modules=(),
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
