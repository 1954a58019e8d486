"""Control of a network's attention and features: install, run, and leave it as it was found.

A *processor* replaces how one attention module computes (diffusers' own protocol); a *hook*
replaces a module's output. Both are made for one pass, with all they need given to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.errors import UserError, nearest
from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from diffusers.models.attention_processor import Attention
    from torch import Tensor, nn

    Processor = Callable[..., Tensor]
    Hook = Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]
else:
    torch = lazy_import("torch")
    F = lazy_import("torch.nn.functional")

#: Self-attention sites whose queries and keys PnP injects (Tumanyan et al. 2023, section 4).
PNP_ATTENTION = tuple(
    f"up_blocks.{block}.attentions.{index}.transformer_blocks.0.attn1"
    for block, index in ((1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2))
)


def residual_site(block: int) -> str:
    """A decoder block's residual branch whose output PnP injects, before the shortcut is added."""
    return f"up_blocks.{block}.resnets.1.conv2"


#: Tumanyan et al.'s "layer 4", of 16x16 cells in SD at 512x512.
PNP_FEATURES = residual_site(1)


@contextmanager
def control(
    network: nn.Module,
    processors: Mapping[str, Processor] | None = None,
    hooks: Mapping[str, Hook] | None = None,
) -> Iterator[None]:
    """Install processors and forward hooks by module name; on leaving, however, take them out.

    :class:`UserError` for a network that lacks a named module, before anything is installed.
    """
    modules = dict(network.named_modules())
    for name in (*(processors or {}), *(hooks or {})):
        if name not in modules:
            raise UserError(
                f"the backbone's network has no module '{name}'.{nearest(name, modules)}"
            )
    with ExitStack() as undo:
        for name, processor in (processors or {}).items():
            undo.callback(_set_processor, modules[name], modules[name].processor)
            _set_processor(modules[name], processor)
        for name, hook in (hooks or {}).items():
            undo.callback(modules[name].register_forward_hook(hook).remove)
        yield


def _set_processor(attention: Attention, processor: Processor) -> None:
    # A processor may itself be a module (with weights): assignment alone would then leave the old
    # one registered beside the new.
    attention._modules.pop("processor", None)
    attention.processor = processor


def self_attention_sites(network: nn.Module) -> list[str]:
    """Names of all self-attention modules of a diffusers UNet, in the network's order."""
    return [name for name, _ in network.named_modules() if name.endswith(".attn1")]


def split_heads(attn: Attention, tokens: Tensor) -> Tensor:
    """(B, S, C) to (B, heads, S, C / heads)."""
    return tokens.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


def attend(attn: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled-dot-product attention of (B, heads, S, d) and the module's output layer: (B, S, C)."""
    out = F.scaled_dot_product_attention(query, key, value, scale=attn.scale)
    return attn.to_out[0](out.transpose(1, 2).flatten(2))


def plain_attention(attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
    """Self-attention as it is: every sample to itself."""
    projected = (attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))
    return attend(attn, *(split_heads(attn, tokens) for tokens in projected))


@dataclass(frozen=True)
class Projection:
    """A self-attention site's queries and keys, (n, heads, S, d) each."""

    query: Tensor
    key: Tensor


@dataclass(frozen=True)
class RecordedAttention:
    """Plain self-attention that leaves its queries and keys in ``record`` under ``site``."""

    site: str
    record: dict[str, Projection]

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        query = split_heads(attn, attn.to_q(hidden_states))
        key = split_heads(attn, attn.to_k(hidden_states))
        self.record[self.site] = Projection(query, key)
        return attend(attn, query, key, split_heads(attn, attn.to_v(hidden_states)))


@dataclass(frozen=True)
class InjectedAttention:
    """Self-attention of ``branches`` stacked branches, all with the source's queries and keys.

    Values stay each branch's own.
    """

    source: Projection
    branches: int = 2

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        repeats = (self.branches, 1, 1, 1)
        query, key = self.source.query.repeat(repeats), self.source.key.repeat(repeats)
        return attend(attn, query, key, split_heads(attn, attn.to_v(hidden_states)))


@dataclass(frozen=True)
class ExtendedAttention:
    """Self-attention across frames (TokenFlow, Geyer et al. 2023, section 4.1).

    Batch: ``branches`` branches of n frames each. Every frame attends to all frames of its branch,
    or with an odd ``window`` to the nearest ``window`` frames (cut at the ends). With ``source``,
    its queries and keys serve in all branches.
    """

    window: int = 0  # 0: all frames
    source: Projection | None = None
    branches: int = 2

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        n = len(hidden_states) // self.branches
        if self.source is None:
            query = split_heads(attn, attn.to_q(hidden_states)).split(n)
            key = split_heads(attn, attn.to_k(hidden_states)).split(n)
        else:
            query = (self.source.query,) * self.branches
            key = (self.source.key,) * self.branches
        value = split_heads(attn, attn.to_v(hidden_states)).split(n)
        outputs = [
            _across(attn, q[queries], k[keys], v[keys])
            for q, k, v in zip(query, key, value, strict=True)
            for queries, keys in _windows(n, self.window)
        ]
        merged = torch.cat([out.transpose(1, 2).flatten(2) for out in outputs])
        return attn.to_out[0](merged)


def _across(attn: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Queries of some frames to the tokens of others as one sequence; (n, heads, S, d) in, out."""
    asked = [x.transpose(0, 1).flatten(1, 2) for x in (query, key, value)]  # (heads, n * S, d)
    out = F.scaled_dot_product_attention(*(x[None] for x in asked), scale=attn.scale)[0]
    return out.unflatten(1, (len(query), -1)).transpose(0, 1)


def _windows(n: int, window: int) -> list[tuple[slice, slice]]:
    """(frames that ask, frames that are asked) pairs."""
    if not window:
        return [(slice(0, n), slice(0, n))]
    reach = window // 2
    return [(slice(i, i + 1), slice(max(0, i - reach), min(n, i + reach + 1))) for i in range(n)]


def record_output(record: dict[str, Tensor], site: str) -> Hook:
    """A hook that leaves a module's output in ``record`` under ``site``."""

    def hook(_module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        record[site] = output

    return hook


def replace_output(source: Tensor, branches: int = 2) -> Hook:
    """A hook that gives every one of ``branches`` stacked branches the source's output."""

    def hook(_module: nn.Module, _inputs: tuple[Any, ...], _output: Tensor) -> Tensor:
        return source.repeat(branches, 1, 1, 1)

    return hook
