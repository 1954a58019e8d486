"""The methods' own functions against tensors recorded from the original implementations.

TokenFlow (omerbt/TokenFlow) and PnP (MichalGeyer/pnp-diffusers) on a tiny UNet in float32; the
tolerances are those of the recordings' manifests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file

from methods.attention import PNP_ATTENTION, ExtendedAttention, self_attention_sites
from methods.backbones.stable_diffusion import StableDiffusion
from methods.base import InversionSpec
from methods.correspondence import route
from methods.ddim import noise_between
from methods.inversion import Inversion, inversion_spec, invert
from methods.pnp import PnP, PnPSetting, pnp_step
from methods.propagation import edit_keyframes, propagate
from methods.sampling import Branches, conditional_noise, denoise, guided_step
from methods.tokenflow import TokenFlow, TokenFlowSetting, start_latents, tokenflow_step


@dataclass
class Recorded(StableDiffusion):
    """A backbone whose text embeddings are the recorded ones, by prompt."""

    recorded: dict[str, torch.Tensor] = field(default_factory=dict)

    def embed(self, prompts):
        return torch.stack([self.recorded[prompt] for prompt in prompts])


class Case:
    """One recorded case: inputs, outputs, settings, tolerance and a backbone to run it on."""

    def __init__(self, folder: Path, name: str, unet: UNet2DConditionModel) -> None:
        tensors = load_file(folder / f"{name}.safetensors")
        self.inputs = {k[3:]: v for k, v in tensors.items() if k.startswith("in.")}
        self.outputs = {k[4:]: v for k, v in tensors.items() if k.startswith("out.")}
        manifest = json.loads((folder / f"{name}.json").read_text())
        self.settings = manifest["settings"]
        self.tolerance = manifest["suggested_tolerance"]
        scheduler = {k: v for k, v in self.settings["scheduler"].items() if k not in ("cls", "eta")}
        embeddings = {k[6:]: v for k, v in self.inputs.items() if k.startswith("embed.")}
        # Calls as large as the originals' (a batch of frames in three branches): other sizes round
        # differently, and a token whose two best matches lie 1e-7 apart may then go to the other.
        self.backbone = Recorded(
            unet=unet,
            scheduler=DDIMScheduler(**scheduler),
            recorded=embeddings,
            max_samples=3 * self.settings.get("batch_size", 16),
        )

    def check(self, name: str, actual: torch.Tensor, tolerance: dict[str, float] | None = None):
        """Largest and relative difference from output ``name`` are within tolerance."""
        self.check_tensor(self.outputs[name], actual, tolerance or self.tolerance, name)

    @staticmethod
    def check_tensor(expected, actual, tolerance, name=""):
        error = (actual - expected).abs().max().item()
        relative = ((actual - expected).norm() / expected.norm()).item()
        assert error <= tolerance["max_abs"], f"{name}: largest difference {error}"
        assert relative <= tolerance["rel_l2"], f"{name}: relative difference {relative}"


@pytest.fixture(scope="module")
def folder(golden: Path) -> Path:
    return golden / "tokenflow" / "public"


@pytest.fixture(scope="module")
def unet(folder: Path) -> UNet2DConditionModel:
    network = UNet2DConditionModel.from_pretrained(folder / "unet")
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def step(folder: Path, unet: UNet2DConditionModel) -> Case:
    return Case(folder, "tokenflow_step", unet)


def test_unpatched_network_agrees(step: Case) -> None:
    """Checked first: the weights load as they were."""
    source, latents = step.inputs["source_latents"][:4], step.inputs["latents"][:4]
    text = step.backbone.embed(["source", "uncond", "cond"])
    step.check(
        "plain.noise_pred", torch.cat(Branches(source, latents, text, 401).noise(step.backbone))
    )


@pytest.mark.parametrize("inject", [False, True])
@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("n", [5, 13])
def test_extended_attention(folder, unet, n: int, window: int, inject: bool) -> None:
    case = Case(folder, "attention", unet)
    attn = unet.get_submodule(f"{case.settings['block']}.attn1")
    name = f"n{n}.{'window3' if window else 'full'}.inject_{'on' if inject else 'off'}"
    case.check(name, ExtendedAttention(inject, window)(attn, case.inputs[f"n{n}.x"]))


@pytest.mark.parametrize(
    "mode", ["none", "attn", "conv", "both", "t1000", "window3_all16.both", "window3_literal.both"]
)
def test_tokenflow_passes(step: Case, mode: str) -> None:
    """The keyframe pass, then every batch, and the matched token indices where recorded."""
    backbone, options = step.backbone, step.settings["modes"][mode]
    everywhere = self_attention_sites(backbone.unet)
    timestep, always = options["timestep"], options["timestep"] == 1000
    injected = everywhere if always else PNP_ATTENTION if options["attn_injection"] else ()
    features = always or options["conv_injection"]
    literal = options["window"] == "literal"
    source, latents = step.inputs["source_latents"], step.inputs["latents"]
    keyframes = step.inputs["pivotal_idx"].tolist()
    branches = Branches(source, latents, backbone.embed(["source", "uncond", "cond"]), timestep)
    windowed = [s for s in everywhere if not (literal and s in PNP_ATTENTION)]
    noise, record = edit_keyframes(
        backbone,
        branches[keyframes],
        injected=injected,
        features=features,
        windows=dict.fromkeys(windowed, 3 if options["window"] else 0),
    )
    step.check(f"{mode}.pivotal.noise_pred", torch.cat(noise))
    size = step.settings["batch_size"]
    for batch in range(len(keyframes)):
        frames, matches = list(range(batch * size, (batch + 1) * size)), {}
        way = route(range(frames[0], frames[-1] + 1), size)
        noise = propagate(
            backbone, branches[frames], record, way, features=features, matches=matches
        )
        step.check(f"{mode}.batch{batch}.noise_pred", torch.cat(noise))
        for site, found in matches.items():
            for which, indices in enumerate(found):
                key = f"{mode}.batch{batch}.match{which}.{site.removesuffix('.attn1')}"
                if key in step.outputs:
                    flips = (indices.flatten() != step.outputs[key].long()).sum()
                    assert flips <= 3, f"{key}: {flips} tokens matched elsewhere"


def test_all_batches_in_one_call_equal_batch_by_batch(step: Case) -> None:
    """Frames of a propagation pass do not see each other, so we run them together."""
    backbone, inputs = step.backbone, step.inputs
    text = backbone.embed(["source", "uncond", "cond"])
    branches = Branches(inputs["source_latents"], inputs["latents"], text, 401)
    keyframes = inputs["pivotal_idx"].tolist()
    _, record = edit_keyframes(backbone, branches[keyframes], injected=PNP_ATTENTION, features=True)
    together = propagate(backbone, branches, record, route(range(12), 4), features=True)
    expected = torch.cat(
        [step.outputs[f"both.batch{b}.noise_pred"].unflatten(0, (3, 4)) for b in range(3)], dim=1
    )
    step.check_tensor(expected, torch.stack(together), step.tolerance)


@pytest.fixture(scope="module")
def loop(folder: Path, unet: UNet2DConditionModel) -> Case:
    return Case(folder, "tokenflow_loop", unet)


@pytest.fixture(scope="module")
def loop_plans(loop: Case):
    keys = ("n_timesteps", "guidance_scale", "pnp_f_t", "pnp_attn_t", "batch_size")
    setting = TokenFlowSetting(n_inversion_steps=10, **{k: loop.settings[k] for k in keys})
    return TokenFlow().plan(setting, loop.settings["n_frames_used"])


def run_tokenflow_step(case: Case, latents: torch.Tensor, k: int, plan) -> torch.Tensor:
    text = case.backbone.embed(["inversion", "negative", "edit"])
    keyframes = case.inputs["pivotal_idx"][k].tolist()
    branches = Branches(case.inputs["source_latents"][k], latents, text, plan.timestep)
    return tokenflow_step(case.backbone, branches, keyframes, plan)


def test_tokenflow_plans_the_recorded_timesteps(loop: Case, loop_plans) -> None:
    assert [plan.timestep for plan in loop_plans] == loop.inputs["timesteps"].tolist()


def test_tokenflow_start(loop: Case) -> None:
    noisiest = int(loop.inputs["noisiest_timestep"])
    inversion = Inversion(
        InversionSpec(10, (noisiest,), "inversion"),
        loop.inputs["x0"],
        {noisiest: loop.inputs["noisiest_source_latents"]},
    )
    start = start_latents(loop.backbone, inversion, int(loop.inputs["timesteps"][0]))
    loop.check_tensor(loop.inputs["initial_latents"], start, loop.tolerance)
    noise = noise_between(
        inversion.clean, inversion.latents[noisiest], loop.backbone.alpha(noisiest)
    )
    loop.check_tensor(loop.inputs["eps"], noise, loop.tolerance)


def test_tokenflow_step_by_step(loop: Case, loop_plans) -> None:
    """Every step from the recorded latents before it."""
    expected = loop.outputs["latents_after_step"]
    before = [loop.inputs["initial_latents"], *expected[:-1]]
    for k, plan in enumerate(loop_plans):
        after = run_tokenflow_step(loop, before[k], k, plan)
        loop.check_tensor(
            expected[k], after, loop.tolerance["per_step_teacher_forced"], f"step {k}"
        )


def test_tokenflow_free_running(loop: Case, loop_plans) -> None:
    latents = loop.inputs["initial_latents"]
    for k, plan in enumerate(loop_plans):
        latents = run_tokenflow_step(loop, latents, k, plan)
    loop.check("final", latents)


def test_inversion_and_reconstruction(folder, unet) -> None:
    case = Case(folder, "ddim_inversion", unet)
    spec = inversion_spec(10, 10, "inversion")
    assert list(spec.save) == sorted(case.inputs["timesteps_saved"].tolist())
    inversion = invert(case.backbone, case.inputs["x0"], spec)
    for t, latents in inversion.latents.items():
        case.check(f"inversion.t{t:04d}", latents)
    latents = inversion.latents[inversion.noisiest]
    case.check("inversion.final", latents)
    embedding = case.backbone.embed(["inversion"])
    for t in case.inputs["timesteps"].tolist():
        noise = conditional_noise(case.backbone, latents, embedding, t)
        latents = denoise(case.backbone, latents, noise, t, t - 100)
    case.check("reconstruction", latents)


@pytest.mark.parametrize("run", [0, 1])
def test_pnp(folder, unet, run: int) -> None:
    """Step by step from the recorded latents, then from start to end."""
    case = Case(folder, "pnp_loop", unet)
    setting = PnPSetting(n_timesteps=10, n_inversion_steps=10, **case.settings["runs"][run])
    plans = PnP().plan(setting, 1)
    assert [plan.timestep for plan in plans] == case.inputs["timesteps"].tolist()
    text = case.backbone.embed(["source_empty_prompt", "negative", "edit"])
    expected = case.outputs[f"run{run}.latents_after_step"]
    free = case.inputs[f"run{run}.initial_latents"]
    before = [free, *expected[:-1]]
    for k, plan in enumerate(plans):
        branches = Branches(case.inputs["source_latents"][k], before[k], text, plan.timestep)
        after = pnp_step(case.backbone, branches, plan)
        case.check_tensor(
            expected[k], after, case.tolerance["per_step_teacher_forced"], f"step {k}"
        )
        free = pnp_step(case.backbone, replace(branches, latents=free), plan)
    case.check(f"run{run}.final", free)


def test_per_frame_sdedit(folder, unet) -> None:
    """The released baseline: per-frame denoising of the source with inverted noise."""
    case = Case(folder, "sdedit", unet)
    text = case.backbone.embed(["negative", "edit"])
    latents = case.inputs["initial_latents"]
    for k, t in enumerate(case.inputs["timesteps"].tolist()):
        expected = case.outputs["vanilla.latents_after_step"][k]
        latents = guided_step(case.backbone, latents, text, t, t - 100, 7.5)
        case.check_tensor(expected, latents, case.tolerance, f"step {k}")


def test_tokenflow_with_sdedit_guidance_has_no_injection(folder, unet) -> None:
    """The same step function without injection serves the released SDEdit variant."""
    case = Case(folder, "sdedit", unet)
    expected = case.outputs["latents_after_step"]
    before = [case.inputs["initial_latents"], *expected[:-1]]
    for k, t in enumerate(case.inputs["timesteps"].tolist()):
        plan = SimpleNamespace(
            timestep=t,
            previous=t - 100,
            guidance_scale=7.5,
            inject_features=False,
            inject_attention=False,
            batch_size=4,
            window=0,
            window_sites="all",
        )
        after = run_tokenflow_step(case, before[k], k, plan)
        case.check_tensor(
            expected[k], after, case.tolerance["per_step_teacher_forced"], f"step {k}"
        )
