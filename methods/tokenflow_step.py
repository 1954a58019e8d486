"""TokenFlow's arithmetic: the noise it starts from, and one denoising step of all frames."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from methods.attention import PNP_ATTENTION, residual_site, self_attention_sites
from methods.base import Shared, compute
from methods.ddim import add_noise, noise_between
from methods.keyframe_parts import EditedKeyframes, KeyframeParts
from methods.lazy import lazy_import
from methods.propagation import edit_keyframes, propagate, read_frames, read_keyframes
from methods.routes import Route, paper_route, released_route
from methods.sampling import Branches, chunks, denoise, guide

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.inversion import Inversion
else:
    torch = lazy_import("torch")


class Switches(Protocol):
    """What a step reads of its plan; see the settings for what each means."""

    timestep: int
    previous: int
    guidance_scale: float
    inject_features: bool
    inject_attention: bool
    pnp_f_block: int
    batch_size: int
    keyframe_batch: int
    blend: str
    window: int
    window_sites: str
    source_key: Hashable


def renoised(backbone: StableDiffusion, inversion: Inversion, first: int) -> Tensor:
    """Noise read off the noisiest inverted latents, added to the clean ones at ``first``."""
    noisy = inversion.latents[inversion.noisiest]
    noise = noise_between(inversion.clean, noisy, backbone.alpha(inversion.noisiest))
    return add_noise(inversion.clean, noise, backbone.alpha(first))


def tokenflow_step(
    backbone: StableDiffusion,
    branches: Branches,
    keyframes: list[int],
    plan: Switches,
    shared: Shared = compute,
) -> Tensor:
    """One denoising step of all frames, given the global indices of the keyframes."""
    parts = _keyframe_parts(backbone, branches, keyframes, plan, shared)
    noise = []
    for part in chunks(len(branches.latents), Branches.COUNT, backbone.max_samples):
        edited, way = parts.serving(_route(range(part.start, part.stop), keyframes, plan))
        seen = branches[part]
        work = partial(
            read_frames, backbone, seen, edited.source, way, residual_site(plan.pnp_f_block)
        )
        frames = shared((plan.source_key, part.start), work)
        uncond, cond = propagate(
            backbone, seen, frames, edited.outputs, way, features=plan.inject_features
        )
        noise.append(guide(uncond, cond, plan.guidance_scale))
    return denoise(backbone, branches.latents, torch.cat(noise), plan.timestep, plan.previous)


def _route(frames: range, keyframes: list[int], plan: Switches) -> Route:
    if plan.blend == "paper":
        return paper_route(frames, keyframes)
    return released_route(frames, plan.batch_size)


def _keyframe_parts(
    backbone: StableDiffusion,
    branches: Branches,
    keyframes: list[int],
    plan: Switches,
    shared: Shared,
) -> KeyframeParts:
    """Source and edit of the keyframes: all together, or some at a time without seeing the rest."""
    windowed = [
        site
        for site in self_attention_sites(backbone.unet)
        if plan.window_sites == "all" or site not in PNP_ATTENTION
    ]

    def edit(part: slice) -> EditedKeyframes:
        seen = branches[keyframes[part]]
        residual_at = residual_site(plan.pnp_f_block)
        work = partial(read_keyframes, backbone, seen, residual_at=residual_at)
        source = shared((plan.source_key, "keyframes", part.start), work)
        _, outputs = edit_keyframes(
            backbone,
            seen,
            source,
            injected=PNP_ATTENTION if plan.inject_attention else (),
            features=plan.inject_features,
            windows=dict.fromkeys(windowed, plan.window),
        )
        return EditedKeyframes(source, outputs)

    return KeyframeParts(len(keyframes), plan.keyframe_batch or len(keyframes), edit)
