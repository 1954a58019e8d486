"""The released checkpoints, read under their own key names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from safetensors.torch import load_file
from torch import Tensor, nn

from data.errors import UserError
from methods.backbones.step1x.connector import Step1XConnector
from methods.backbones.step1x.convert import (
    connector_config,
    convert,
    convert_vae,
    transformer_config,
    vae_config,
)
from methods.backbones.step1x.folder import Parts
from methods.backbones.step1x.layout import OFFICIAL_DIT, OFFICIAL_ENCODER, OFFICIAL_VAE
from methods.backbones.step1x.network import Step1XNetwork
from methods.backbones.step1x.qwen import QwenConditionEncoder

N = TypeVar("N", bound=nn.Module)


def official_parts(folder: Path, dtype: torch.dtype) -> Parts:
    """Everything of a folder of released files; :class:`UserError` for keys of another model."""
    return Parts(
        network=official_network(load_file(folder / OFFICIAL_DIT), dtype),
        vae=official_vae(load_file(folder / OFFICIAL_VAE)),
        encoder=QwenConditionEncoder.from_pretrained(folder / OFFICIAL_ENCODER, torch_dtype=dtype),
    )


def official_network(
    checkpoint: Mapping[str, Tensor],
    dtype: torch.dtype,
    transformer: Mapping[str, Any] | None = None,
    connector: Mapping[str, Any] | None = None,
) -> Step1XNetwork:
    """Transformer and connector of a checkpoint.

    Configurations follow from shapes; ``transformer`` and ``connector`` say else where shapes do
    not show it: rotary axes and the connector's heads, which here are as released.
    """
    shapes = {key: tensor.shape for key, tensor in checkpoint.items()}
    converted = convert(checkpoint)
    configs = (
        transformer_config(shapes) | dict(transformer or {}),
        connector_config(shapes) | dict(connector or {}),
    )
    parts = [
        filled(kind, config, state, dtype)
        for kind, config, state in zip(
            (FluxTransformer2DModel, Step1XConnector), configs, converted, strict=True
        )
    ]
    return Step1XNetwork(*parts)


def official_vae(checkpoint: Mapping[str, Tensor]) -> AutoencoderKL:
    """Flux's autoencoder, in float32."""
    shapes = {key: tensor.shape for key, tensor in checkpoint.items()}
    return filled(AutoencoderKL, vae_config(shapes), convert_vae(checkpoint), torch.float32)


def filled(
    kind: type[N], config: dict[str, Any], state: dict[str, Tensor], dtype: torch.dtype
) -> N:
    """A network made of a state dict without a second copy of it; nothing missing, nothing left."""
    with torch.device("meta"):
        network = kind(**config)
    wanted = set(network.state_dict())
    if off := sorted(wanted ^ set(state)):
        raise UserError(
            f"the checkpoint is not one of Step1X-Edit v1.0: {len(wanted - set(state))} keys are "
            f"missing and {len(set(state) - wanted)} unexpected, such as {off[0]}."
        )
    network.load_state_dict({k: v.to(dtype) for k, v in state.items()}, assign=True)
    return network
