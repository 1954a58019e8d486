"""DDIM inversion of a clip by the network that was tuned on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from methods.ddim import STABLE_DIFFUSION, move
from methods.inversion import Inversion
from methods.sampling import predict_branches
from methods.tuned_network import tuned_network

if TYPE_CHECKING:
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.tuning import TunedInversionSpec


def invert_tuned(
    backbone: StableDiffusion,
    latents: Tensor,
    spec: TunedInversionSpec,
    weights: Mapping[str, Tensor],
) -> Inversion:
    """Invert (N, 4, h, w) latents, all frames at once, and keep the timesteps in ``spec.save``."""
    embedding = backbone.embed([spec.prompt])
    x, previous, kept = latents, -1, {}
    with tuned_network(backbone.unet, spec.inflation, len(latents), weights):
        for t in STABLE_DIFFUSION.timesteps(spec.steps)[::-1]:
            noise = predict_branches(backbone, [x], embedding, t)[0]
            x = move(x, noise, backbone.alpha(previous), backbone.alpha(t))
            previous = t
            if t in spec.save:
                kept[t] = x
    return Inversion(spec, latents, kept)
