"""TokenFlow from start noise to final latents, with PnP and with SDEdit guidance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from methods.base import InversionSpec
from methods.ddim import noise_between
from methods.inversion import Inversion
from methods.sampling import Branches, guided_step
from methods.tokenflow import TokenFlow, TokenFlowPlan
from methods.tokenflow_step import renoised, tokenflow_step
from tests.parity.compare import Comparison, compare
from tests.parity.families.tokenflow.common import backbone_of, tolerance
from tests.parity.families.tokenflow.pnp import each_step, free_run
from tests.parity.recorded import RecordedBackbone
from tests.parity.recording import Recording
from tests.parity.run import Case


def tokenflow_cases(recording: Recording) -> Iterator[Case]:
    """With PnP guidance."""
    shares = {name: max(0.0, recording.setting(name)) for name in ("pnp_f_t", "pnp_attn_t")}
    return _cases(recording, _plans(recording, **shares))


def sdedit_cases(recording: Recording) -> Iterator[Case]:
    """With SDEdit guidance, and the per-frame SDEdit that the original compares itself with."""
    plans = _plans(recording, guidance="sdedit", sdedit_t=recording.setting("start"))
    yield from _cases(recording, plans)
    yield "per frame", partial(_per_frame, recording, backbone_of(recording), plans)


def _plans(recording: Recording, **guidance: Any) -> Sequence[TokenFlowPlan]:
    names = ("n_timesteps", "guidance_scale", "batch_size")
    setting = TokenFlow.Setting(
        n_inversion_steps=recording.setting("inversion", "n_inversion_steps"),
        **{name: recording.setting(name) for name in names},
        **guidance,
    )
    return TokenFlow().plan(setting, recording.setting("n_frames_used"))


def _cases(recording: Recording, plans: Sequence[TokenFlowPlan]) -> Iterator[Case]:
    backbone = backbone_of(recording)
    step = partial(_step, recording, backbone)
    yield "start", partial(_start, recording, backbone)
    yield "steps", partial(each_step, recording, "", step, plans)
    yield "whole", partial(free_run, recording, "", step, plans)


def _start(recording: Recording, backbone: RecordedBackbone) -> Iterator[Comparison]:
    tensors, within = recording.tensors, tolerance(recording)
    used = slice(recording.setting("n_frames_used"))
    noisiest, first = (
        int(tensors[name].flatten()[0]) for name in ("in.noisiest_timestep", "in.timesteps")
    )
    clean, noisy = tensors["in.x0"][used], tensors["in.noisiest_source_latents"][used]
    noise = noise_between(clean, noisy, backbone.alpha(noisiest))
    yield compare(tensors["in.eps"][used], noise, within)
    spec = InversionSpec(0, (noisiest,), "inversion")
    start = renoised(backbone, Inversion(spec, clean, {noisiest: noisy}), first)
    yield compare(tensors["in.initial_latents"], start, within)


def _step(
    recording: Recording, backbone: RecordedBackbone, latents: Tensor, k: int, plan: TokenFlowPlan
) -> Tensor:
    source = recording.tensors["in.source_latents"][k][: len(latents)]
    keyframes = recording.tensors["in.pivotal_idx"][k].tolist()
    text = backbone.embed(["inversion", "negative", "edit"])
    branches = Branches(source, latents, text, plan.timestep)
    return tokenflow_step(backbone, branches, keyframes, plan)


def _per_frame(
    recording: Recording, backbone: RecordedBackbone, plans: Sequence[Any]
) -> Iterator[Comparison]:
    latents = recording.tensors["in.initial_latents"]
    text = backbone.embed(["negative", "edit"])
    expected = recording.tensors["out.vanilla.latents_after_step"]
    for k, plan in enumerate(plans):
        latents = guided_step(
            backbone, latents, text, plan.timestep, plan.previous, plan.guidance_scale
        )
        yield compare(expected[k], latents, tolerance(recording))
    yield compare(recording.tensors["out.vanilla.final"], latents, tolerance(recording))
