"""TokenFlow's propagation: edited frames take keyframes' features along the source's matches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.attention import ExtendedAttention
from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from diffusers.models.attention_processor import Attention
    from torch import Tensor
else:
    torch = lazy_import("torch")

Matches = dict[str, tuple["Tensor", "Tensor"]]  # by site: own and previous keyframe's tokens

CHUNK = 1024  # keyframe tokens compared at once


@dataclass
class Keyframes:
    """What one self-attention site computed on the K keyframes."""

    source: Tensor  # (K, S, C) the source branch's normed tokens
    outputs: Tensor  # (3, K, S, C) attention outputs of source | unconditional | conditional


@dataclass(frozen=True)
class KeyframeAttention:
    """Extended attention that records the keyframes' features under ``site``."""

    site: str
    attention: ExtendedAttention
    record: dict[str, Keyframes]

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        output = self.attention(attn, hidden_states)
        branches = self.attention.branches
        source = hidden_states.unflatten(0, (branches, -1))[0]
        self.record[self.site] = Keyframes(source, output.unflatten(0, (branches, -1)))
        return output


@dataclass(frozen=True)
class Route:
    """For each of n frames: which keyframes it draws on, and how much on its own."""

    own: Tensor  # (n,) int64, the keyframe of the frame's batch
    previous: Tensor  # (n,) int64, that of the batch before; the own one in the first batch
    weight: Tensor  # (n,) float32 in (0.5, 0.74), the own keyframe's share; 1 in the first batch


def route(frames: range, batch_size: int) -> Route:
    """Keyframes and blend weights of global frame indices, as released.

    The weight is sigmoid(d_previous / (d_own + d_previous)) with distances to the centres of the
    batches, not to the keyframes drawn in them.
    """
    index = torch.arange(frames.start, frames.stop)
    own = index // batch_size
    to_own = (index - (own * batch_size + batch_size // 2)).abs()
    to_previous = (index - ((own - 1) * batch_size + batch_size // 2)).abs()
    weight = torch.sigmoid(to_previous / (to_own + to_previous))
    return Route(own, (own - 1).clamp(min=0), torch.where(own > 0, weight, 1.0))


def nearest_tokens(tokens: Tensor, references: Tensor, chunk: int = CHUNK) -> Tensor:
    """Index of the reference token with the largest cosine similarity to each token.

    ``tokens``: (n, S, C), ``references``: (n, R, C), frame by frame; returns (n, S) int64. The
    first wins a tie. Compared ``chunk`` references at a time with a running maximum, so that the
    (S, R) table never exists whole.
    """
    tokens = tokens / tokens.norm(dim=-1, keepdim=True)
    references = references / references.norm(dim=-1, keepdim=True)
    best = index = None
    for first in range(0, references.shape[1], chunk):
        part = references[:, first : first + chunk]
        value, where = (tokens @ part.transpose(1, 2)).max(dim=-1)
        where = where + first
        if best is None:
            best, index = value, where
        else:
            index = torch.where(value > best, where, index)
            best = torch.maximum(value, best)
    return index


@dataclass(frozen=True)
class PropagatedAttention:
    """In place of self-attention: keyframes' outputs gathered along the source's matches.

    ``matches`` is filled with the (n, S) token indices in the own and the previous keyframe.
    """

    site: str
    record: Mapping[str, Keyframes]
    route: Route
    matches: Matches

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        keyframes = self.record[self.site]
        branches = len(keyframes.outputs)
        source = hidden_states.unflatten(0, (branches, -1))[0]
        own, previous = self.route.own, self.route.previous
        first = nearest_tokens(source, keyframes.source[own])
        # In the first batch both keyframes are one: nothing to match again.
        same = torch.equal(own, previous)
        second = first if same else nearest_tokens(source, keyframes.source[previous])
        self.matches[self.site] = (first, second)
        output = _gather(keyframes.outputs, own, first)
        if not same:
            weight = self.route.weight.to(output)[:, None, None]
            output = torch.lerp(_gather(keyframes.outputs, previous, second), output, weight)
        return output.flatten(0, 1)


def _gather(outputs: Tensor, keyframe: Tensor, token: Tensor) -> Tensor:
    """Tokens (n, S) of keyframes (n,) out of (B, K, S, C): (B, n, S, C)."""
    return outputs[:, keyframe.to(token.device)[:, None], token]
