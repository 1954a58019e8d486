"""A network with tuned weights in it: its queries replaced, temporal attention after every block.

Wu et al., Tune-A-Video, ICCV 2023, section 3.2. Temporal layers have the names that FateZero's
checkpoints give them (``attn_temporal``, ``norm_temporal``; in Tune-A-Video's ``attn_temp`` and
``norm_temp``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from methods.lazy import lazy_import
from methods.source_pass import inflated
from methods.temporal import BIAS, LAYERS

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from methods.inflation import Inflation
    from methods.tuning import TuningSpec
else:
    torch = lazy_import("torch")

QUERIES = (".attn1.to_q.weight", ".attn2.to_q.weight")
NORM = "norm_temporal"  # stays as it starts, as released


def is_temporal(name: str) -> bool:
    """Whether a weight belongs to a temporal layer, which the 2D network does not have."""
    return any(layer in name for layer in LAYERS)


def trained(name: str) -> bool:
    """Whether tuning changes a weight."""
    return NORM not in name


def untuned_weights(network: nn.Module, spec: TuningSpec) -> dict[str, Tensor]:
    """Float32 weights on the CPU that tuning starts from, by name.

    The network's own queries, and temporal attentions as the released constructor makes them:
    linear layers' usual uniform weights, the output's zero.
    """
    rng = torch.Generator().manual_seed(spec.seed)

    def uniform(*shape: int) -> Tensor:
        return (torch.rand(shape, generator=rng) * 2 - 1) / shape[-1] ** 0.5

    weights = {
        name: value.detach().to("cpu", torch.float32, copy=True).contiguous()
        for name, value in network.named_parameters()
        if name.endswith(QUERIES)
    }
    blocks = [name for name, _ in network.named_modules() if name.endswith("transformer_blocks.0")]
    for block in blocks:
        c = network.get_submodule(block).attn1.query_dim
        for projection in ("to_q", "to_k", "to_v"):
            weights[f"{block}.attn_temporal.{projection}.weight"] = uniform(c, c)
        weights[f"{block}.attn_temporal.to_out.0.weight"] = torch.zeros(c, c)
        bias = uniform(c)
        weights[f"{block}.{BIAS}"] = bias if spec.temporal == "released" else torch.zeros(c)
        weights[f"{block}.{NORM}.weight"] = torch.ones(c)
        weights[f"{block}.{NORM}.bias"] = torch.zeros(c)
    return weights


@contextmanager
def with_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The network with other tensors in the place of some of its parameters, while this lasts.

    The tensors need not be leaves: gradients flow to what they were made from.
    """
    with ExitStack() as undo:
        for name, value in weights.items():
            path, _, leaf = name.rpartition(".")
            owner = network.get_submodule(path)
            undo.callback(owner.register_parameter, leaf, owner._parameters.pop(leaf))
            setattr(owner, leaf, value)
            undo.callback(delattr, owner, leaf)
        yield


@contextmanager
def tuned_network(
    network: nn.Module, inflation: Inflation, n_frames: int, weights: Mapping[str, Tensor]
) -> Iterator[None]:
    """The inflated network with tuned weights, for branches of ``n_frames`` frames."""
    here = {name: x.to(network.device, network.dtype) for name, x in weights.items()}
    temporal = {name: x for name, x in here.items() if is_temporal(name)}
    queries = {name: x for name, x in here.items() if not is_temporal(name)}
    with with_weights(network, queries), inflated(network, inflation, n_frames, temporal):
        yield
