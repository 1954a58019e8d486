"""A random-weight miniature of Hallo in an ordinary folder, and portraits that speak noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from data.speech import Audio, SpokenEdit, TalkingClip
from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.folder import save_net
from methods.backbones.hallo.net import HalloNet

CONFIG = HalloConfig(
    sample_size=8,
    block_out_channels=(8, 16, 16, 16),
    layers_per_block=1,
    attention_heads=2,
    norm_num_groups=4,
    cross_attention_dim=12,
    motion_heads=2,
    motion_length=12,
    face_dim=3 * 4 * 4,
    face_tokens=2,
    audio_layers=1,
    audio_features=64,
    audio_hidden=16,
    audio_tokens=3,
    audio_dim=10,
    locator_channels=(4, 4, 8, 8),
)
VAE = {
    "block_out_channels": (8, 8, 8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}


def make_net(seed: int = 0, config: HalloConfig = CONFIG) -> HalloNet:
    """Networks in which nothing is zero: what starts at zero would hide what it is fed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = HalloNet(config)
        for parameter in net.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return net.eval().requires_grad_(False)


def save_miniature(folder: Path) -> Path:
    """Write the miniature's folder and return it."""
    save_net(make_net(), folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        AutoencoderKL(**VAE).save_pretrained(folder / "vae")
    for part, config in (
        ("audio", {"kind": "log-mel"}),
        ("face", {"kind": "thumbnail", "side": 4}),
    ):
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
    return folder


def make_portrait(n_frames: int = 6, seed: int = 0) -> TalkingClip:
    """A still picture of noise and an edit that lets it hear noise."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    samples = rng.integers(-9000, 9000, n_frames * 640).astype(np.int16)
    boxes = np.array([[[16, 12, 48, 52]], [[26, 38, 38, 46]]], np.float32)
    edit = SpokenEdit(id="speech", kind="audio", prompt="", audio=Audio(samples))
    return TalkingClip(
        id="portrait",
        dataset="test",
        frames=np.repeat(picture[None], n_frames, axis=0),
        prompt="",
        fps=25.0,
        boxes=np.repeat(boxes, n_frames, axis=1),
        edits={"speech": edit},
    )
