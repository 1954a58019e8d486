"""Pseudo-3D inflation: a 2D network that sees all frames of a clip at once.

Wu et al., Tune-A-Video, ICCV 2023, section 3.2, as changed and released by Qi et al., FateZero,
ICCV 2023. Self-attention takes keys and values from listed frames (sparse-causal attention); the
residual blocks' and the output's group norms pool their statistics over frames, as the released
code does by applying them to five-dimensional tensors; temporal layers follow (methods.temporal).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from methods.attention import attend, split_heads
from methods.lazy import lazy_import
from methods.temporal import released_biases, temporal_hooks

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from diffusers.models.attention_processor import Attention
    from torch import Tensor, nn

    from methods.attention import Hook
else:
    torch = lazy_import("torch")
    F = lazy_import("torch.nn.functional")

FrameName = Literal["first", "last", "mid"]
MapUse = Callable[["Tensor"], "Tensor"]  # a map (B, heads, queries, keys) to the one to go on with


def listed_frames(entry: int | str, n_frames: int) -> list[int]:
    """For each frame the one that an entry stands for.

    ``first``, ``last`` and ``mid`` are the same for all; an integer is relative to the frame and
    stays within the clip.
    """
    fixed = {"first": 0, "last": n_frames - 1, "mid": (n_frames - 1) // 2}
    if isinstance(entry, str):
        return [fixed[entry]] * n_frames
    return [min(max(frame + entry, 0), n_frames - 1) for frame in range(n_frames)]


def from_listed_frames(tokens: Tensor, attend_to: Sequence[int | str], n_frames: int) -> Tensor:
    """Keys or values (b * n, ..., S, C) of the listed frames in turn: (b * n, ..., m * S, C).

    A frame that is listed twice counts twice. An empty list leaves every frame its own.
    """
    if not attend_to:
        return tokens
    frames = tokens.unflatten(0, (-1, n_frames))
    parts = [frames[:, listed_frames(entry, n_frames)] for entry in attend_to]
    return torch.cat(parts, dim=-2).flatten(0, 1)


def attention_map(attn: Attention, query: Tensor, key: Tensor) -> Tensor:
    """The map of (B, heads, queries, d) and (B, heads, keys, d), its rows summing to one."""
    scores = query @ key.transpose(-1, -2) * attn.scale
    half = scores.dtype in (torch.float16, torch.bfloat16)
    return scores.float().softmax(-1) if half else scores.softmax(-1)


@dataclass(frozen=True)
class ClipAttention:
    """Self- or cross-attention of branches of ``n_frames`` frames each.

    ``attend_to`` lists the frames that give keys and values (self-attention only). With ``use`` the
    map is written out, given to it and replaced by its answer; else it never exists.
    """

    n_frames: int
    attend_to: tuple[int | str, ...] = ()
    use: MapUse | None = None

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(seen), attn.to_v(seen)
        key, value = (from_listed_frames(x, self.attend_to, self.n_frames) for x in (key, value))
        query, key, value = (split_heads(attn, x) for x in (query, key, value))
        if self.use is None:
            return attend(attn, query, key, value)
        weights = self.use(attention_map(attn, query, key)).to(value.dtype)
        return attn.to_out[0]((weights @ value).transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class PooledNorm:
    """A hook that gives a group norm statistics over all frames of a branch."""

    n_frames: int

    def __call__(self, norm: nn.GroupNorm, inputs: tuple[Any, ...], _output: Tensor) -> Tensor:
        clips = inputs[0].unflatten(0, (-1, self.n_frames)).transpose(1, 2)  # (b, C, n, h, w)
        normed = F.group_norm(clips, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return normed.transpose(1, 2).flatten(0, 1)


@dataclass(frozen=True)
class Inflation:
    """How a 2D network is made to see a clip; part of what inverted latents depend on.

    ``attend``: frames that give keys and values. ``plain_levels``: finest levels of the network
    whose self-attention stays within a frame (the released ``least_sc_channel``). ``temporal``:
    ``identity``, or ``released``: the released constructor leaves a random bias in the output of
    every temporal attention, which adds a constant to every block of an untrained network.
    """

    attend: tuple[int | str, ...] = (-1, "first")
    plain_levels: int = 0
    temporal: Literal["identity", "released"] = "identity"

    def attend_at(self, network: nn.Module, site: str) -> tuple[int | str, ...]:
        """The frame list of a self-attention site."""
        channels = network.config.block_out_channels
        least = [*channels, float("inf")][self.plain_levels]
        return self.attend if network.get_submodule(site).query_dim >= least else ()

    def hooks(
        self, network: nn.Module, n_frames: int, weights: Mapping[str, Tensor] | None = None
    ) -> dict[str, Hook]:
        """Pooled norms and temporal layers; ``weights`` of trained temporal layers by name."""
        if weights is None:
            weights = released_biases(network) if self.temporal == "released" else {}
        norms = [
            name
            for name, module in network.named_modules()
            if isinstance(module, torch.nn.GroupNorm) and ".attentions." not in name
        ]
        return {
            **dict.fromkeys(norms, PooledNorm(n_frames)),
            **temporal_hooks(weights, n_frames),
        }
