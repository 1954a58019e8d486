"""Read cross-attention maps, and follow a loss on them back to the latents.

The pass stops at the last map it reads: what comes after has no part in the gradient. Only the
sites that are read form their maps; all others use scaled-dot-product attention. The network's
weights ask for no gradient, so nothing is kept for them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from data.errors import UserError
from methods.attention import control, split_heads
from methods.lazy import lazy_import
from methods.map_sites import map_sizes

if TYPE_CHECKING:
    import torch
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import Attention
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.solvers import Stand
else:
    torch = lazy_import("torch")

Maps = Mapping[str, "Tensor"]  # by site, (B, heads, h, w, L): shares of each pixel's attention
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """A cross-attention module and its block: ``down0`` … ``mid`` … ``up3``."""

    name: str
    block: str


def cross_attention_sites(unet: UNet2DConditionModel) -> list[Site]:
    """All cross-attention modules of a diffusers UNet, in the order in which they run."""
    found: dict[str, list[Site]] = {"down_blocks": [], "mid_block": [], "up_blocks": []}
    for name, _ in unet.named_modules():
        if name.endswith(".attn2"):
            part, index = name.split(".")[:2]
            block = "mid" if part == "mid_block" else f"{part.removesuffix('_blocks')}{index}"
            found[part].append(Site(name, block))
    return [site for part in found.values() for site in part]


def sites_of_blocks(unet: UNet2DConditionModel, blocks: str) -> list[Site]:
    """The sites of blocks joined by "+", such as ``mid+up1``; UserError for one that has none."""
    sites = cross_attention_sites(unet)
    having = dict.fromkeys(site.block for site in sites)
    wanted = blocks.split("+")
    for block in wanted:
        if block not in having:
            raise UserError(
                f"block '{block}' of the backbone's network has no cross-attention; those that "
                f"have: {', '.join(having)}."
            )
    return [site for site in sites if site.block in wanted]


def sites_of_size(
    unet: UNet2DConditionModel, latent_side: tuple[int, int], side: int
) -> list[Site]:
    """The sites whose maps are ``side`` x ``side``; UserError where there is none."""
    sites, sizes = cross_attention_sites(unet), map_sizes(unet, *latent_side)
    found = [site for site in sites if sizes[site.name] == (side, side)]
    if not found:
        sizes = dict.fromkeys(sizes[site.name] for site in sites)
        there = ", ".join("{} x {}".format(*size) for size in sizes)
        raise UserError(
            f"no cross-attention map of {side} x {side} here; with latents of "
            f"{latent_side[0]} x {latent_side[1]} there are {there}."
        )
    return found


def attention_shares(attn: Attention, tokens: Tensor, text: Tensor) -> Tensor:
    """(B, heads, S, L): how each pixel's attention is shared among the text's tokens."""
    query, key = split_heads(attn, attn.to_q(tokens)), split_heads(attn, attn.to_k(text))
    return (query @ key.transpose(-1, -2) * attn.scale).softmax(dim=-1)


def attended(attn: Attention, shares: Tensor, text: Tensor) -> Tensor:
    """(B, S, C): the module's output, given its map."""
    values = split_heads(attn, attn.to_v(text))
    return attn.to_out[0]((shares @ values).transpose(1, 2).flatten(2))


class _LastMap(Exception):
    """Every map has been read: the rest of the network is not wanted."""


@dataclass(frozen=True)
class MapReader:
    """Cross-attention that leaves its map, (B, heads, S, L), in ``record`` under ``site``.

    Raises :class:`_LastMap` once ``record`` holds ``wanted`` maps.
    """

    site: str
    record: dict[str, Tensor]
    wanted: int

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any
    ) -> Tensor:
        shares = attention_shares(attn, hidden_states, encoder_hidden_states)
        self.record[self.site] = shares
        if len(self.record) == self.wanted:
            raise _LastMap
        return attended(attn, shares, encoder_hidden_states)


def read_maps(
    backbone: StableDiffusion,
    latents: Tensor,
    timestep: float,
    embedding: Tensor,
    sites: Collection[Site],
) -> dict[str, Tensor]:
    """Maps of some sites, (B, heads, h, w, L), from a pass that stops at the last of them.

    ``latents``: (B, 4, h, w) as the network sees them; ``embedding``: (B, L, C). Counts as a
    network evaluation per sample, though the pass is shorter.
    """
    backbone.evaluations += len(latents)
    network = {"device": backbone.device, "dtype": backbone.unet.dtype}
    record: dict[str, Tensor] = {}
    readers = {site.name: MapReader(site.name, record, len(sites)) for site in sites}
    with control(backbone.unet, readers), suppress(_LastMap):
        backbone.unet(latents.to(**network).contiguous(), timestep, embedding.to(**network))
    sizes = map_sizes(backbone.unet, *latents.shape[-2:])
    return {site.name: record[site.name].unflatten(2, sizes[site.name]) for site in sites}


def follow(
    backbone: StableDiffusion,
    stand: Stand,
    latents: Tensor,
    embedding: Tensor,
    sites: Collection[Site],
    objective: Callable[[Maps], tuple[Tensor, T]],
) -> tuple[Tensor, Tensor, T]:
    """A loss on maps, its gradient with respect to latents (1, 4, h, w), and what else it saw.

    The gradient is zero where the loss is.
    """
    with torch.enable_grad():
        x = latents.detach().clone().requires_grad_(True)
        maps = read_maps(backbone, stand.scaled(x), stand.timestep, embedding, sites)
        loss, seen = objective(maps)
        if not loss:
            return loss.detach().float().cpu(), torch.zeros_like(latents), seen
        (gradient,) = torch.autograd.grad(loss, x)
    return loss.detach().float().cpu(), gradient, seen
