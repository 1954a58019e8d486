"""Stack a method's branches into few large network calls, and guide by two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from methods.base import Context, State
from methods.ddim import move
from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
else:
    torch = lazy_import("torch")


def chunks(n_frames: int, n_branches: int, max_samples: int) -> Iterator[slice]:
    """Runs of frames that, in all branches, fill at most ``max_samples`` (at least one frame)."""
    size = max(1, max_samples // n_branches)
    for first in range(0, n_frames, size):
        yield slice(first, min(first + size, n_frames))


def predict_branches(
    backbone: StableDiffusion, branches: Sequence[Tensor], embeddings: Tensor, timestep: int
) -> tuple[Tensor, ...]:
    """Noise of B branches over the same n frames, in one call stacked branch by branch.

    ``branches``: B tensors (n, 4, h, w); ``embeddings``: (B, L, C), one prompt per branch.
    """
    text = embeddings.repeat_interleave(len(branches[0]), dim=0)
    return backbone.predict(torch.cat(tuple(branches)), timestep, text).chunk(len(branches))


@dataclass(frozen=True)
class Branches:
    """What source, unconditional and conditional branches see of the same n frames in one step.

    The source branch runs in calls of its own: it depends on nothing that an edit changes, so that
    all edits of a clip can share what it leaves.

    ``source``, ``latents``: (n, 4, h, w) inverted latents of this timestep and those being edited;
    ``embeddings``: (3, L, C) of the source, negative and target prompts.
    """

    source: Tensor
    latents: Tensor
    embeddings: Tensor
    timestep: int

    COUNT = 3

    def __getitem__(self, frames: slice | list[int]) -> Branches:
        """The same for some of the frames."""
        return replace(self, source=self.source[frames], latents=self.latents[frames])

    def read(self, backbone: StableDiffusion) -> Tensor:
        """The source branch's noise, (n, 4, h, w), in one network call."""
        return predict_branches(backbone, [self.source], self.embeddings[:1], self.timestep)[0]

    def edit(self, backbone: StableDiffusion) -> tuple[Tensor, ...]:
        """Noise of the unconditional and the conditional branch in one network call."""
        return predict_branches(backbone, [self.latents] * 2, self.embeddings[1:], self.timestep)


def guide(uncond: Tensor, cond: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022)."""
    return uncond + scale * (cond - uncond)


def denoise(
    backbone: StableDiffusion, latents: Tensor, noise: Tensor, timestep: int, previous: int
) -> Tensor:
    """One DDIM step from a timestep to the previous one (negative: to the clean end)."""
    return move(latents, noise, backbone.alpha(timestep), backbone.alpha(previous))


def guided_step(
    backbone: StableDiffusion,
    latents: Tensor,
    embeddings: Tensor,
    timestep: int,
    previous: int,
    scale: float,
) -> Tensor:
    """One guided DDIM step of independent frames; ``embeddings``: negative, target (2, L, C)."""
    noise = torch.cat(
        [
            guide(*predict_branches(backbone, [latents[part]] * 2, embeddings, timestep), scale)
            for part in chunks(len(latents), 2, backbone.max_samples)
        ]
    )
    return denoise(backbone, latents, noise, timestep, previous)


def edit_step(ctx: Context, state: State, plan: Any) -> State:
    """One guided DDIM step towards the edit's prompt, every frame by itself.

    ``plan`` names ``timestep``, ``previous``, ``guidance_scale`` and ``negative_prompt``.
    """
    backbone = ctx.backbone
    embeddings = backbone.embed([plan.negative_prompt, ctx.edit.prompt])
    latents = guided_step(
        backbone, state.latents, embeddings, plan.timestep, plan.previous, plan.guidance_scale
    )
    return State(latents, state.extra)


def conditional_noise(
    backbone: StableDiffusion, latents: Tensor, embedding: Tensor, timestep: int
) -> Tensor:
    """Noise of independent frames under one prompt; ``embedding``: (1, L, C)."""
    return torch.cat(
        [
            predict_branches(backbone, [latents[part]], embedding, timestep)[0]
            for part in chunks(len(latents), 1, backbone.max_samples)
        ]
    )
