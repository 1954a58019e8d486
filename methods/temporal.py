"""Temporal layers of an inflated network, by the names of the released checkpoints.

After a block's feed-forward an attention over frames at each pixel (``attn_temporal``), and after
each 3x3 convolution one over frames (``conv_temporal``, whole or as a low-rank residual). Layers
without weights are the identity and are not run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    from methods.attention import Hook
else:
    torch = lazy_import("torch")
    F = lazy_import("torch.nn.functional")

BIAS = "attn_temporal.to_out.0.bias"
SEED = 0  # of the released biases; the released program's default
LAYERS = (".conv_temporal.", ".attn_temporal.", ".norm_temporal.")


def released_biases(network: nn.Module) -> dict[str, Tensor]:
    """What the released constructor leaves of an untrained network's temporal layers.

    The output weights of every temporal attention are zero but their bias is a linear layer's
    usual one, uniform in +-1 / sqrt(channels): a constant is added after every block.
    """
    rng = torch.Generator().manual_seed(SEED)
    biases = {}
    for name, module in network.named_modules():
        if name.endswith(".transformer_blocks.0"):
            channels = module.attn1.query_dim
            uniform = torch.rand(channels, generator=rng) * 2 - 1
            biases[f"{name}.{BIAS}"] = (uniform / channels**0.5).to(network.device, network.dtype)
    return biases


def temporal_hooks(weights: Mapping[str, Tensor], n_frames: int) -> dict[str, Hook]:
    """Hooks for convolutions and transformer blocks that the named weights belong to."""
    by_module: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, value in weights.items():
        layer = next(part for part in LAYERS if part in name)
        module, rest = name.split(layer)
        by_module[module][layer[1:] + rest] = value
    return {
        module: (
            TemporalConvolution(n_frames, layers)
            if any(name.startswith("conv") for name in layers)
            else TemporalAttention(n_frames, layers)
        )
        for module, layers in by_module.items()
    }


@dataclass(frozen=True, eq=False)
class TemporalConvolution:
    """A hook that convolves a convolution's output over frames, kernel three."""

    n_frames: int
    weights: Mapping[str, Tensor]

    def __call__(self, _module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        clips = output.unflatten(0, (-1, self.n_frames)).permute(0, 3, 4, 2, 1)  # (b, h, w, c, n)
        x = clips.flatten(0, 2)
        if "conv_temporal.down.weight" in self.weights:
            down = F.conv1d(x, self.weights["conv_temporal.down.weight"], padding=1)
            x = x + F.conv1d(down, self.weights["conv_temporal.up.weight"], padding=1)
        else:
            weight, bias = (self.weights[f"conv_temporal.{name}"] for name in ("weight", "bias"))
            x = F.conv1d(x, weight, bias, padding=1)
        return x.view_as(clips).permute(0, 4, 3, 1, 2).flatten(0, 1).contiguous()


@dataclass(frozen=True, eq=False)
class TemporalAttention:
    """A hook that adds to a block's output its attention over frames, token by token.

    Without projections the attention's output weights are zero, and only its bias is added.
    """

    n_frames: int
    weights: Mapping[str, Tensor]

    def __call__(self, block: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        w, bias = self.weights, self.weights[BIAS]
        if "attn_temporal.to_q.weight" not in w:
            return output + bias
        clips = output.unflatten(0, (-1, self.n_frames)).transpose(1, 2)  # (b, S, n, C)
        x = clips.flatten(0, 1)
        norm = w["norm_temporal.weight"], w["norm_temporal.bias"]
        normed = F.layer_norm(x, x.shape[-1:], *norm)
        query, key, value = (
            F.linear(normed, w[f"attn_temporal.to_{name}.weight"])
            .unflatten(-1, (block.attn1.heads, -1))
            .transpose(1, 2)
            for name in "qkv"
        )
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + F.linear(seen, w["attn_temporal.to_out.0.weight"], bias)
        return x.view_as(clips).transpose(1, 2).flatten(0, 1).contiguous()
