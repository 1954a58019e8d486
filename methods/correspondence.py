"""TokenFlow's propagation: edited frames take keyframes' features along the source's matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from diffusers.models.attention_processor import Attention
    from torch import Tensor
else:
    torch = lazy_import("torch")

Matches = dict[str, tuple["Tensor", "Tensor"]]  # by site: own and previous keyframe's tokens

CHUNK = 1024  # keyframe tokens compared at once


@dataclass(frozen=True)
class RecordedSite:
    """Attention that leaves its input tokens and its outputs in records under ``site``."""

    site: str
    attention: Callable[..., Tensor]
    outputs: dict[str, Tensor]
    tokens: dict[str, Tensor] | None = None

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        output = self.attention(attn, hidden_states)
        self.outputs[self.site] = output
        if self.tokens is not None:
            self.tokens[self.site] = hidden_states
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
class MatchedAttention:
    """In place of the source's self-attention: match its tokens, then take keyframes' outputs.

    ``tokens``, ``outputs``: what the site had on the source's K keyframes, (K, S, C). ``matches``
    is filled with the (n, S) indices of the nearest tokens in the own and the previous keyframe.
    """

    site: str
    tokens: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    route: Route
    matches: Matches

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        keyframes = self.tokens[self.site]
        own, previous = self.route.own, self.route.previous
        first = nearest_tokens(hidden_states, keyframes[own])
        # In the first batch both keyframes are one: nothing to match again.
        same = torch.equal(own, previous)
        second = first if same else nearest_tokens(hidden_states, keyframes[previous])
        self.matches[self.site] = (first, second)
        return blend(self.outputs[self.site][None], self.route, (first, second))[0]


@dataclass(frozen=True)
class PropagatedAttention:
    """In place of ``branches`` branches' self-attention: keyframes' outputs along the matches.

    ``outputs``: (branches * K, S, C) by site.
    """

    site: str
    outputs: Mapping[str, Tensor]
    route: Route
    matches: Matches
    branches: int = 2

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        outputs = self.outputs[self.site].unflatten(0, (self.branches, -1))
        return blend(outputs, self.route, self.matches[self.site]).flatten(0, 1)


def blend(outputs: Tensor, way: Route, matches: tuple[Tensor, Tensor]) -> Tensor:
    """Outputs (B, K, S, C) of K keyframes at n frames' matches: (B, n, S, C)."""
    first, second = matches
    output = _gather(outputs, way.own, first)
    if torch.equal(way.own, way.previous):
        return output
    weight = way.weight.to(output)[:, None, None]
    return torch.lerp(_gather(outputs, way.previous, second), output, weight)


def _gather(outputs: Tensor, keyframe: Tensor, token: Tensor) -> Tensor:
    """Tokens (n, S) of keyframes (n,) out of (B, K, S, C): (B, n, S, C)."""
    return outputs[:, keyframe.to(token.device)[:, None], token]
