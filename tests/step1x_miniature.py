"""A random-weight miniature of Step1X-Edit, saved as its folder; 64x64 frames have 8x8 tokens."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel

from data.world.instruct import WORDS
from methods.backbones.step1x.connector import Step1XConnector
from methods.backbones.step1x.folder import Parts
from methods.backbones.step1x.network import Step1XNetwork
from methods.backbones.step1x.world_encoder import WorldConditionEncoder

VAE = {
    "block_out_channels": (8, 8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 4,
    "scaling_factor": 0.9,
    "shift_factor": 0.1,
}
TRANSFORMER = {
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 24,
    "pooled_projection_dim": 12,
    "axes_dims_rope": (4, 6, 6),
}
CONNECTOR = {
    "condition_dim": 16,
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "num_layers": 2,
    "pooled_projection_dim": 12,
}


def make_network() -> Step1XNetwork:
    """Transformer and connector, initialised by the global generator."""
    network = Step1XNetwork(FluxTransformer2DModel(**TRANSFORMER), Step1XConnector(**CONNECTOR))
    return network.eval().requires_grad_(False)


def save_step1x_miniature(folder: Path, seed: int = 0) -> Path:
    """Write the miniature with weights drawn from ``seed`` and return its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = WorldConditionEncoder(WORDS, max_words=8, width=16, layers=1, heads=2)
        Parts(make_network(), AutoencoderKL(**VAE), encoder).save_pretrained(folder, size_level=64)
    return folder
