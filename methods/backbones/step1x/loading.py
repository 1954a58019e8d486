"""Load a Step1X-Edit backbone, whole or sparing memory, by diffusers' own hooks."""

from __future__ import annotations

import torch
from diffusers.hooks import apply_group_offloading

from methods.backbones.step1x.backbone import Step1X
from methods.backbones.step1x.folder import Parts
from methods.backbones.step1x.info import Step1XInfo
from methods.backbones.step1x.layout import INDEX
from methods.backbones.step1x.official import official_parts
from methods.backbones.step1x.qwen import QwenConditionEncoder
from methods.backbones.step1x.random_parts import random_parts

STORED = torch.float8_e4m3fn  # as the released program's --quantized


def load(info: Step1XInfo, device: str = "cpu", dtype: str = "float32") -> Step1X:
    """A backbone on a device; ``dtype`` of the networks but the autoencoder, which has float32.

    Raises :class:`data.errors.UserError` for a checkpoint of another model.
    """
    precision, where = getattr(torch, dtype), torch.device(device)
    if info.random:
        parts = random_parts(precision, where)
    elif (info.path / INDEX).is_file():
        parts = Parts.from_pretrained(info.path, precision)
    else:
        parts = official_parts(info.path, precision)
    for network in (parts.network, parts.vae, parts.encoder):
        network.eval().requires_grad_(False)
    if "fp8" in info.ways:
        for network in (parts.network.transformer, parts.network.connector):
            network.enable_layerwise_casting(STORED, precision)
    if isinstance(parts.encoder, QwenConditionEncoder):
        parts.encoder.device = where  # its weights may not be there when it asks
    if "offload" in info.ways:
        _offload(parts, where)
    else:
        for network in (parts.network, parts.vae, parts.encoder):
            network.to(where)
    return Step1X(
        network=parts.network,
        vae=parts.vae,
        encoder=parts.encoder,
        size_level=info.size_level,
        dtype=precision,
        device=where,
    )


def _offload(parts: Parts, device: torch.device) -> None:
    """Each transformer block, and each leaf of the rest, on the device only while it computes.

    The connector, a tenth of the transformer, stays: a parameter of its own has no module to be
    fetched with.
    """
    parts.network.connector.to(device)
    how = {"onload_device": device, "use_stream": device.type == "cuda"}
    blocks = {"offload_type": "block_level", "num_blocks_per_group": 1}
    apply_group_offloading(parts.network.transformer, **blocks, **how)
    for network in (parts.vae, parts.encoder):
        apply_group_offloading(network, offload_type="leaf_level", **how)
