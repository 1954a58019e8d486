"""A Step1X-Edit model on disk: a diffusers-like folder of safetensors and configurations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

from methods.backbones.step1x.connector import Step1XConnector
from methods.backbones.step1x.encoder import ConditionEncoder, load_encoder
from methods.backbones.step1x.layout import SCHEDULER, index
from methods.backbones.step1x.network import Step1XNetwork


@dataclass
class Parts:
    """What a folder holds."""

    network: Step1XNetwork
    vae: AutoencoderKL
    encoder: ConditionEncoder

    def save_pretrained(self, folder: Path, size_level: int) -> None:
        """Write every part, safetensors only, and the index last; see :func:`layout.index`."""
        self.network.transformer.save_pretrained(folder / "transformer")
        self.network.connector.save_pretrained(folder / "connector")
        self.vae.save_pretrained(folder / "vae")
        self.encoder.save_pretrained(folder / "condition_encoder")
        FlowMatchEulerDiscreteScheduler(**SCHEDULER).save_pretrained(folder / "scheduler")
        (folder / "model_index.json").write_text(
            json.dumps(index(type(self.encoder).__name__, size_level), indent=2) + "\n"
        )

    @classmethod
    def from_pretrained(cls, folder: Path, dtype: torch.dtype = torch.float32) -> Parts:
        """Read a folder; networks in ``dtype`` and the autoencoder in float32, as released."""
        only = {"use_safetensors": True, "local_files_only": True}
        transformer = FluxTransformer2DModel.from_pretrained(
            folder / "transformer", torch_dtype=dtype, **only
        )
        connector = Step1XConnector.from_pretrained(folder / "connector", torch_dtype=dtype, **only)
        return cls(
            network=Step1XNetwork(transformer, connector),
            vae=AutoencoderKL.from_pretrained(folder / "vae", **only),
            encoder=load_encoder(folder / "condition_encoder", dtype),
        )
