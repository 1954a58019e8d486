"""TokenFlow's propagation: edited frames take keyframes' features along the source's matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.lazy import lazy_import
from methods.routes import Route

if TYPE_CHECKING:
    import torch
    from diffusers.models.attention_processor import Attention
    from torch import Tensor
else:
    torch = lazy_import("torch")

Matches = dict[str, tuple["Tensor", "Tensor"]]  # by site: tokens of a route's two keyframes

TABLE = 2**22  # similarities held at once: 16 MiB in float32


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


def nearest_tokens(tokens: Tensor, references: Tensor, table: int = TABLE) -> Tensor:
    """Index of the reference token with the largest cosine similarity to each token.

    ``tokens``: (n, S, C), ``references``: (n, R, C), frame by frame; returns (n, S) int64. The
    first wins a tie. Compared some references at a time with a running maximum, so that no more
    than ``table`` of the (n, S, R) similarities exist at once (but those of one reference).
    """
    chunk = max(1, table // tokens[..., 0].numel())
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
    is filled with the (n, S) indices of the nearest tokens in the route's two keyframes.
    """

    site: str
    tokens: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    route: Route
    matches: Matches

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        keyframes = self.tokens[self.site]
        way = self.route
        first = nearest_tokens(hidden_states, keyframes[way.first])
        # Where all frames draw on one keyframe there is nothing to match again.
        same = torch.equal(way.first, way.second)
        second = first if same else nearest_tokens(hidden_states, keyframes[way.second])
        self.matches[self.site] = (first, second)
        outputs = self.outputs[self.site]
        return blend(outputs[None], self.route, (first, second))[0]


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
    output = _gather(outputs, way.first, first)
    if torch.equal(way.first, way.second):
        return output
    weight = way.weight.to(output)[:, None, None]
    return torch.lerp(_gather(outputs, way.second, second), output, weight)


def _gather(outputs: Tensor, keyframe: Tensor, token: Tensor) -> Tensor:
    """Tokens (n, S) of keyframes (n,) out of (B, K, S, C): (B, n, S, C)."""
    return outputs[:, keyframe.to(token.device)[:, None], token]
