"""What a pass over the source leaves for the edit: queries and keys, from which maps follow.

A map of 32x32 queries takes 100 times the memory of the queries and keys it is made of, so these
are kept and the map is written out only while a layer of the edit uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.attention import Projection, attend, control, self_attention_sites, split_heads
from methods.inflation import ClipAttention, Inflation, attention_map, from_listed_frames
from methods.map_sites import kept_sites, map_sizes
from methods.sampling import predict_branches

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from torch import Tensor, nn

    from methods.backbones.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class RecordedClipAttention:
    """:class:`ClipAttention` that leaves its queries and every frame's own keys in ``record``."""

    site: str
    record: dict[str, Projection]
    n_frames: int
    attend_to: tuple[int | str, ...] = ()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = attn.to_q(hidden_states), attn.to_k(seen), attn.to_v(seen)
        query, key, value = (split_heads(attn, tokens) for tokens in projected)
        # In one layout, as what is read back from a file has it: kernels round by layout.
        self.record[self.site] = Projection(query.contiguous(), key.contiguous())
        key, value = (from_listed_frames(x, self.attend_to, self.n_frames) for x in (key, value))
        return attend(attn, query, key, value)


@dataclass(frozen=True)
class SourcePass:
    """A pass over n frames of the source: projections by site, and its noise (n, 4, h, w)."""

    projections: Mapping[str, Projection]
    inflation: Inflation | None
    noise: Tensor

    def map(self, network: nn.Module, site: str) -> Tensor:
        """The attention map of a site, (n, heads, queries, keys)."""
        kept = self.projections[site]
        query, key = (x.to(network.dtype) for x in (kept.query, kept.key))
        attend_to = frame_list(network, site, self.inflation)
        key = from_listed_frames(key, attend_to, len(query))
        return attention_map(network.get_submodule(site), query, key)

    def maps(self, network: nn.Module, sites: Sequence[str]) -> list[Tensor]:
        """The maps of several sites."""
        return [self.map(network, site) for site in sites]


def frame_list(network: nn.Module, site: str, inflation: Inflation | None) -> tuple[int | str, ...]:
    """The frames that give a site its keys and values; none where every frame keeps its own."""
    if inflation is None or not site.endswith(".attn1"):
        return ()
    return inflation.attend_at(network, site)


@contextmanager
def inflated(
    network: nn.Module,
    inflation: Inflation | None,
    n_frames: int,
    weights: Mapping[str, Tensor] | None = None,
) -> Iterator[None]:
    """The network as it sees clips of ``n_frames`` while this lasts; None: frame by frame."""
    if inflation is None:
        yield
        return
    processors = {
        site: ClipAttention(n_frames, frames)
        for site in self_attention_sites(network)
        if (frames := inflation.attend_at(network, site))
    }
    with control(network, processors, inflation.hooks(network, n_frames, weights)):
        yield


def read_source(
    backbone: StableDiffusion,
    latents: Tensor,
    embedding: Tensor,
    timestep: int,
    inflation: Inflation | None = None,
) -> SourcePass:
    """Run the source, (n, 4, h, w) latents under one prompt (1, L, C), and keep what maps need."""
    network, n = backbone.unet, len(latents)
    record: dict[str, Projection] = {}
    processors = {
        site: RecordedClipAttention(site, record, n, frame_list(network, site, inflation))
        for site in kept_sites(map_sizes(network, *latents.shape[-2:]))
    }
    with inflated(network, inflation, n), control(network, processors):
        noise = predict_branches(backbone, [latents], embedding, timestep)[0]
    return SourcePass(record, inflation, noise)
