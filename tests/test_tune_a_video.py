"""One-shot tuning: what it changes, that it can be left and taken up, and who shares it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data.errors import UserError
from experiments.catalogue import project_catalogue
from experiments.clips import clip_loader
from experiments.collect import table
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.store import Store
from methods.base import run_cell
from methods.registry import get_method
from methods.source_pass import inflated
from methods.temporal import BIAS
from methods.tune_a_video import INFLATION
from methods.tuned_network import is_temporal, tuned_network, untuned_weights, with_weights
from methods.tuner import Tuner
from methods.tuning import TunedContext, TuningSpec
from tests.test_methods_run import make_clip

SPEC = TuningSpec(4, 1e-3, 33, "a red disc on grass", INFLATION, "identity")
SWEEP = """\
title: Edits of a tuned network
backbones: [{backbone}]
clips: [{{dataset: world, first: 1, edits: [colour, ground], frames: 2}}]
methods:
  - name: tune-a-video
    setting: {{n_timesteps: 2, tuning_steps: 5}}
    grid: {{guidance_scale: [5.0, 12.5]}}
seeds: [0, 1]
"""


def noise_of(network, latents: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(latents, 500, text.repeat_interleave(len(latents), 0)).sample


@pytest.fixture(scope="module")
def latents(miniature) -> torch.Tensor:
    return miniature.encode(make_clip(3).frames)


def test_untuned_identity_layers_leave_the_inflated_network_as_it_is(miniature, latents) -> None:
    text, weights = miniature.embed([SPEC.prompt]), untuned_weights(miniature.unet, SPEC)
    with inflated(miniature.unet, INFLATION, 3):
        plain = noise_of(miniature.unet, latents, text)
    with tuned_network(miniature.unet, INFLATION, 3, weights):
        ours = noise_of(miniature.unet, latents, text)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    released = untuned_weights(miniature.unet, replace(SPEC, temporal="released"))
    with tuned_network(miniature.unet, INFLATION, 3, released):
        assert (noise_of(miniature.unet, latents, text) - plain).abs().max() > 1e-3


def test_the_network_is_left_as_it_was_found_whatever_happens(miniature) -> None:
    before = {name: id(value) for name, value in miniature.unet.named_parameters()}
    weights = untuned_weights(miniature.unet, SPEC)
    with pytest.raises(ZeroDivisionError), tuned_network(miniature.unet, INFLATION, 3, weights):
        raise ZeroDivisionError
    assert {name: id(value) for name, value in miniature.unet.named_parameters()} == before
    with pytest.raises(KeyError), with_weights(miniature.unet, {"conv_in.nothing": torch.ones(1)}):
        pass
    assert {name: id(value) for name, value in miniature.unet.named_parameters()} == before


def test_queries_and_temporal_attention_learn_and_nothing_else(miniature, latents) -> None:
    start, tuner = untuned_weights(miniature.unet, SPEC), Tuner(miniature, latents, SPEC)
    for _ in range(3):  # the first moves the temporal output off zero, the next its inputs
        tuner.step()
    after = tuner.result()
    for name, value in start.items():
        assert torch.equal(after[name], value) == ("norm_temporal" in name), name
    queries = [name for name in after if not is_temporal(name)]
    assert len(queries) == 2 * 16  # of both attentions of sixteen blocks
    assert len(after) == 2 * 16 + 7 * 16
    assert not any(p.requires_grad for p in miniature.unet.parameters())


def test_the_first_step_is_adam_s_on_the_gradient_by_finite_differences(miniature, latents) -> None:
    """AdamW's first move of a weight is minus the rate along the sign of its gradient, and decay.

    The gradient's sign is found by moving each of a few weights a little in the network itself.
    """
    tuner = Tuner(miniature, latents, SPEC)
    before = tuner.result()
    rng = torch.Generator().manual_seed(SPEC.seed << 32)
    noise = torch.randn(latents.shape, generator=rng)
    t = int(torch.randint(1000, (1,), generator=rng))
    alpha = miniature.scheduler.alphas_cumprod[t]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    text = miniature.embed([SPEC.prompt]).repeat(3, 1, 1)

    def loss(weights: dict[str, torch.Tensor]) -> float:
        with torch.no_grad(), tuned_network(miniature.unet, INFLATION, 3, weights):
            return F.mse_loss(miniature.unet(noisy, t, text).sample.double(), noise).item()

    tuner.step()
    after, agreed = tuner.result(), 0
    blocks = [name.removesuffix(BIAS) for name in before if name.endswith(BIAS)][::4]
    for name in [f"{block}{end}" for block in blocks for end in (BIAS, "attn2.to_q.weight")]:
        flat = (after[name] - before[name]).abs().flatten()
        index = int(flat.argmax())
        moved = {sign: before[name].clone() for sign in (1, -1)}
        for sign, tensor in moved.items():
            tensor.view(-1)[index] += sign * 0.02
        up, down = (loss(before | {name: moved[sign]}) for sign in (1, -1))
        start = before[name].view(-1)[index].item()
        step = after[name].view(-1)[index].item() - start * (1 - 0.01 * SPEC.learning_rate)
        assert abs(step) == pytest.approx(SPEC.learning_rate, rel=0.02)
        agreed += (step > 0) == (up < down)
    assert agreed >= 7  # of 8; a difference quotient in float32 may err where the slope is slight


def test_tuning_lowers_the_loss_on_noise_it_has_not_seen(miniature, latents) -> None:
    spec = replace(SPEC, learning_rate=3e-3)
    tuner = Tuner(miniature, latents, spec)
    alpha, text = miniature.scheduler.alphas_cumprod[500], miniature.embed([spec.prompt])
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(5))
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise

    def loss() -> float:
        with tuned_network(miniature.unet, INFLATION, 3, tuner.result()):
            return F.mse_loss(noise_of(miniature.unet, noisy, text), noise).item()

    before = loss()
    for _ in range(12):
        tuner.step()
    assert loss() < before - 0.01


def test_a_tuning_goes_on_to_the_bit(miniature, latents) -> None:
    whole, first, second = (Tuner(miniature, latents, SPEC) for _ in range(3))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    second.unpack(first.pack())
    while second.done < 4:
        second.step()
    after = second.result()
    assert all(torch.equal(after[name], value) for name, value in whole.result().items())


def test_what_cannot_be_tuned_is_refused(miniature, latents) -> None:
    half = replace(miniature, unet=type("Half", (), {"dtype": torch.float16})())
    with pytest.raises(UserError, match="bfloat16"):
        Tuner(half, latents, SPEC)
    wild = Tuner(miniature, latents * float("inf"), SPEC)
    with pytest.raises(UserError, match=r"diverged.*step 1.*0\.001"):
        wild.step()


class Killed(BaseException):
    """Not an Exception: the engine must not take it for a failing cell."""


@pytest.fixture(scope="module")
def plan(miniature_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    path = tmp_path_factory.mktemp("tuned") / "sweep.yaml"
    path.write_text(SWEEP.format(backbone=miniature_backbone))
    return make_plan(path, project_catalogue())


def run(plan: Plan, store: Store) -> int:
    """Run all shards; the number of network evaluations."""
    runners = [ShardRunner(plan, shard, store, project_catalogue()) for shard in plan.shards]
    return sum(runner.run().evaluations for runner in runners)


def frames(plan: Plan, store: Store) -> dict[str, bytes]:
    return {cell: store.frames(cell).tobytes() for cell in plan.cells}


@pytest.fixture(scope="module")
def whole(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, int]:
    store = Store(tmp_path_factory.mktemp("whole"))
    return store, run(plan, store)


def test_every_cell_shares_one_tuning_and_its_inversion(plan: Plan, whole) -> None:
    """Two edits and two guidances; seeds change nothing. Evaluations as planned, to the last."""
    store, evaluations = whole
    assert len(plan.rows) == 8 and len(plan.cells) == 4
    assert len(list((store.root / "tunings").glob("*.safetensors"))) == 1
    assert len(list((store.root / "inversions").glob("*.safetensors"))) == 1
    tuning, inversion, edits = 5 * 2, 2 * 2, 4 * 2 * 2 * 2
    assert plan.shared() == evaluations == tuning + inversion + edits
    assert all(plan.alone(cell) == tuning + inversion + edits / 4 for cell in plan.cells.values())


def test_tuning_is_a_phase_of_its_own_in_the_costs(plan: Plan, whole) -> None:
    costs = table(plan, whole[0])
    assert (costs["status"] == "ok").all()
    assert (costs["tuning_evaluations"] == 10).all() and (costs["inversion_evaluations"] == 4).all()
    assert costs["seconds_tune"].nunique() == 1 and (costs["seconds_tune"] > 0).all()


def test_frames_are_those_of_a_cell_run_alone_computed_or_loaded(
    plan: Plan, whole, miniature_backbone: str
) -> None:
    store, method = whole[0], get_method("tune-a-video")
    catalogue, cells = project_catalogue(), list(plan.cells.values())
    backbone = catalogue.load_backbone(miniature_backbone, "cpu", "float32")
    clip = clip_loader(catalogue.dataset)(cells[0].clip)
    tuner = method.tuner(backbone, clip.frames, cells[0].inversion.tuning)
    for _ in range(5):
        tuner.step()
    weights = tuner.result()
    inversion = method.invert(backbone, clip.frames, cells[0].inversion, weights)
    for cell in cells:
        edit = clip.edits[cell.edit]
        ctx = TunedContext(clip, edit, cell.setting, 0, backbone, inversion, tuned=weights)
        np.testing.assert_array_equal(store.frames(cell.id), run_cell(method, ctx))
    expected = frames(plan, store)
    for cell in cells:
        store.forget(cell.id)
    assert run(plan, store) == 4 * 2 * 2 * 2  # the tuning and its inversion are there
    assert frames(plan, store) == expected


@pytest.mark.parametrize("harm", [False, True])
def test_a_tuning_that_was_killed_goes_on_where_it_stood(
    plan: Plan, whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: bool
) -> None:
    """Unless what it left was altered: then it begins again. Frames and costs are the same."""
    store, step = Store(tmp_path), Tuner.step
    monkeypatch.setattr("experiments.tunings.EVERY", -1.0)

    def kill(self: Tuner) -> None:
        if self.done == 3:
            raise Killed
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Tuner, "step", kill)
        with pytest.raises(Killed):
            run(plan, store)
    (left,) = (store.root / "partial").glob("tuning-*.safetensors")
    assert not (store.root / "tunings").exists()
    if harm:
        content = left.read_bytes()
        left.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert run(plan, store) == plan.shared() - (0 if harm else 3 * 2)
    assert frames(plan, store) == frames(plan, whole[0])
    assert (table(plan, store)["tuning_evaluations"] == 10).all()
    assert list((store.root / "partial").glob("tuning-*")) == []


def test_a_tuning_that_fails_is_told_by_its_cells(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: Tuner) -> None:
        raise UserError("the tuning diverged")

    monkeypatch.setattr(Tuner, "step", diverge)
    store = Store(tmp_path)
    run(plan, store)
    assert {store.status(cell) for cell in plan.cells} == {"error: UserError: the tuning diverged"}


def test_weights_are_named_by_what_they_depend_on(plan: Plan) -> None:
    """Not by the edit, the guidance or the steps of sampling; by the tuning's own settings."""
    cell = next(iter(plan.cells.values()))

    def name(**changed: object) -> str | None:
        setting = cell.setting.model_copy(update=changed)
        return plan.tuning_id(replace(cell, setting=setting))

    assert name() == name(guidance_scale=3.0) == name(n_timesteps=4)
    others = [
        name(tuning_steps=6),
        name(learning_rate=1e-4),
        name(tuning_seed=1),
        name(temporal="identity"),
    ]
    assert len({name(), *others}) == 5
