"""Keep the attention to each phrase of a layout, step by step, while a network denoises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from methods.attention import control
from methods.base import Context
from methods.cross_attention import attended, attention_shares, sites_of_blocks
from methods.lazy import lazy_import
from methods.map_sites import map_sizes
from methods.token_positions import token_positions

if TYPE_CHECKING:
    import torch
    from diffusers.models.attention_processor import Attention
    from torch import Tensor
else:
    torch = lazy_import("torch")

ATTENTION = "attention"  # in a state's extras, and the trace's name


@dataclass
class Watch:
    """What one step's calls left: for each site (n, S, L) of each call, over heads."""

    size: tuple[int, int]  # of the maps
    phrases: list[list[int]]  # token positions
    record: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, extra: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state's extras with this step's (1, N, phrases, h, w) float16 attention appended."""
        if not self.record or not self.phrases:
            return extra
        shares = torch.stack([torch.cat(calls) for calls in self.record.values()]).mean(dim=0)
        each = [shares[..., tokens].sum(dim=-1) for tokens in self.phrases]
        now = torch.stack(each, dim=1).unflatten(2, self.size)
        now = now[None].half().cpu()
        earlier = [extra[ATTENTION]] if ATTENTION in extra else []
        return extra | {ATTENTION: torch.cat([*earlier, now])}


@dataclass(frozen=True)
class WatchedAttention:
    """Cross-attention of unconditional | conditional samples that keeps the latter's map."""

    site: str
    record: dict[str, list[Tensor]]

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any
    ) -> Tensor:
        shares = attention_shares(attn, hidden_states, encoder_hidden_states)
        self.record.setdefault(self.site, []).append(shares.chunk(2)[1].mean(dim=1))
        return attended(attn, shares, encoder_hidden_states)


@contextmanager
def watching(ctx: Context, block: str, latents: Tensor) -> Iterator[Watch]:
    """Watch a block of the network, or nothing where none is named or the edit has no layout."""
    if not block or not ctx.edit.layout:
        yield Watch((0, 0), [])
        return
    tokenizer, prompt = ctx.backbone.tokenizer, ctx.edit.prompt
    words = [token_positions(tokenizer, prompt, region.phrase) for region in ctx.edit.layout]
    phrases = [[position for pieces in each for position in pieces] for each in words]
    sites = sites_of_blocks(ctx.backbone.unet, block)
    size = map_sizes(ctx.backbone.unet, *latents.shape[-2:])[sites[0].name]
    watch = Watch(size, phrases)
    processors = {site.name: WatchedAttention(site.name, watch.record) for site in sites}
    with control(ctx.backbone.unet, processors):
        yield watch
