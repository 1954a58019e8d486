"""The guidance pass of layout guidance against a pass of the whole network with all gradients.

The plain pass is the released one: every block is run, every attention forms its map and keeps it,
and weights ask for gradients. It is measured with the weights' gradients computed, and as released
with that of the latents alone, for which their part of the graph is built in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.figures import Figure, agree, peak_bytes, seconds
from bench.networks import Size, random_backbone
from methods.attention import control, split_heads
from methods.backbones.stable_diffusion import StableDiffusion
from methods.cross_attention import follow, read_maps, sites_of_blocks
from methods.layout_loss import Target, layout_loss
from methods.solvers import Stand

TARGETS = [
    Target((2, 3), ((0.1, 0.2, 0.5, 0.8),)),
    Target((10,), ((0.75, 0.6, 0.95, 0.8),)),
]
BLOCKS = "mid+up1"  # released


@dataclass(frozen=True)
class _Explicit:
    """Attention, to the text or to itself, that forms its map and leaves it in ``record``."""

    site: str
    record: dict[str, Tensor]

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            split_heads(attn, tokens)
            for tokens in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        shares = (query @ key.transpose(-1, -2) * attn.scale).softmax(dim=-1)
        self.record[self.site] = shares
        return attn.to_out[0]((shares @ value).transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class _Pass:
    """One guidance pass, ours and the plain one."""

    backbone: StableDiffusion
    stand: Stand
    latents: Tensor
    text: Tensor

    @classmethod
    def of(cls, size: Size, device: str) -> _Pass:
        rng = torch.Generator().manual_seed(3)
        backbone = random_backbone(size, device, 2)
        stand = Stand.before("lms", backbone, 51, 5)
        latents = torch.randn((1, 4, size.side, size.side), generator=rng) * (stand.sigma + 1)
        return cls(backbone, stand, latents, torch.randn((1, 77, size.text), generator=rng))

    def ours(self) -> Tensor:
        """The latents' gradient by the method's own pass."""
        sites = sites_of_blocks(self.backbone.unet, BLOCKS)
        return follow(
            self.backbone,
            self.stand,
            self.latents,
            self.text,
            sites,
            lambda maps: (layout_loss([maps[s.name][0] for s in sites], TARGETS), None),
        )[1]

    def plain(self, weights: bool) -> Tensor:
        """The same by the whole network; with ``weights`` their gradients are computed too."""
        unet, record = self.backbone.unet, {}
        names = [name for name, module in unet.named_modules() if isinstance(module, Attention)]
        wanted = [site.name for site in sites_of_blocks(unet, BLOCKS)]
        unet.requires_grad_(True)
        try:
            with torch.enable_grad(), control(unet, {n: _Explicit(n, record) for n in names}):
                leaf = self.latents.clone().requires_grad_(True)
                seen = self.stand.scaled(leaf).to(self.backbone.device)
                unet(seen, self.stand.timestep, self.text.to(seen))
                maps = [record[name][0] for name in wanted]
                sides = [int(m.shape[1] ** 0.5) for m in maps]
                square = [m.unflatten(1, (s, s)) for m, s in zip(maps, sides, strict=True)]
                loss = layout_loss(square, TARGETS)
                if weights:
                    loss.backward()
                    return leaf.grad
                return torch.autograd.grad(loss, leaf)[0]
        finally:
            unet.requires_grad_(False)
            unet.zero_grad(set_to_none=True)


def guidance_pass(size: Size, device: str) -> Iterator[Figure]:
    """Gradient, time and memory."""
    bench, name = _Pass.of(size, device), f"layout/{size.name}"
    yield agree(f"{name}: gradient", bench.ours(), bench.plain(weights=True))
    ours, every, released = seconds(
        bench.ours,
        lambda: bench.plain(weights=True),
        lambda: bench.plain(weights=False),
        repeats=2 * size.repeats + 1,
    )
    yield Figure(f"{name}: time over all gradients", ours / every, "", at_most=0.6)
    yield Figure(f"{name}: time over as released", ours / released, "")
    peak = peak_bytes(bench.ours)
    every = peak_bytes(lambda: bench.plain(weights=True))
    released = peak_bytes(lambda: bench.plain(weights=False))
    note = f"{peak / 2**20:.0f} of {every / 2**20:.0f} MB"
    yield Figure(f"{name}: memory over all gradients", peak / every, "", at_most=0.5, note=note)
    yield Figure(f"{name}: memory over as released", peak / released, "", at_most=0.5)


def accounting(_device: str) -> Iterator[Figure]:
    """Multiplications and activations kept for the gradient at SD 1.5's size; nothing is run."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(attention_head_dim=8, cross_attention_dim=768).eval()
        latents, text = torch.empty(1, 4, 64, 64), torch.empty(1, 77, 768)
    backbone = StableDiffusion(unet=unet.requires_grad_(False), scheduler=None)
    sites = sites_of_blocks(unet, BLOCKS)

    def ours() -> None:
        leaf = latents.clone().requires_grad_(True)
        maps = read_maps(backbone, leaf, 500, text, sites)
        sum(m.sum() for m in maps.values()).backward()

    def plain() -> None:
        record: dict[str, Tensor] = {}
        names = [name for name, module in unet.named_modules() if isinstance(module, Attention)]
        unet.requires_grad_(True)
        with control(unet, {name: _Explicit(name, record) for name in names}):
            unet(latents.clone().requires_grad_(True), 500, text)
            sum(record[site.name].sum() for site in sites).backward()
        unet.requires_grad_(False)

    work = [_counted(ours, unet), _counted(plain, unet)]
    (flops, kept), (all_flops, all_kept) = work
    name = "layout/SD 1.5, 512x512"
    yield Figure(f"{name}: operations over all gradients", flops / all_flops, "", at_most=0.6)
    note = f"{kept / 2**20:.0f} of {all_kept / 2**20:.0f} MB, float32"
    yield Figure(f"{name}: activations kept", kept / all_kept, "", at_most=0.5, note=note)


def _counted(work: Callable[[], None], unet: UNet2DConditionModel) -> tuple[int, int]:
    """Floating-point operations of a pass, and bytes that autograd keeps besides the weights."""
    weights = {x.untyped_storage()._cdata for x in unet.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address comes twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        work()
    return counter.get_total_flops(), sum(storage.nbytes() for storage in kept.values())
