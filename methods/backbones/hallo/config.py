"""Sizes of Hallo's five networks; the defaults are those of the released checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from data.errors import UserError, nearest


@dataclass(frozen=True)
class HalloConfig:
    """What ``config.json`` of a Hallo folder says; all that the networks' shapes follow from."""

    sample_size: int = 64  # side of the latents
    latent_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)  # finest level first
    layers_per_block: int = 2
    attention_heads: int = 8
    norm_num_groups: int = 32
    cross_attention_dim: int = 768  # width of the face tokens
    motion_heads: int = 8
    motion_length: int = 32  # motion frames and frames that a motion module has positions for
    face_dim: int = 512  # length of a face embedding
    face_tokens: int = 4
    audio_window: int = 5  # frames of features that one frame hears, odd
    audio_layers: int = 12
    audio_features: int = 768
    audio_hidden: int = 512
    audio_tokens: int = 32
    audio_dim: int = 768  # width of the audio tokens
    locator_channels: tuple[int, ...] = (16, 32, 64, 128)

    @classmethod
    def read(cls, path: Path) -> HalloConfig:
        """Read a ``config.json``; :class:`UserError` for a key that is not one."""
        given = json.loads(path.read_text(encoding="utf-8"))
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise UserError(f"{path}: unknown key '{name}'.{nearest(name, known)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})

    def write(self, path: Path) -> None:
        """Write a ``config.json``."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @property
    def levels(self) -> int:
        """Resolutions of the networks, and of the masks."""
        return len(self.block_out_channels)

    def unet(self) -> dict[str, Any]:
        """Arguments of diffusers' UNet: Stable Diffusion 1.5's topology at this size."""
        crossed = self.levels - 1  # the coarsest level has no attention
        return {
            "sample_size": self.sample_size,
            "in_channels": self.latent_channels,
            "out_channels": self.latent_channels,
            "down_block_types": ("CrossAttnDownBlock2D",) * crossed + ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * crossed,
            "block_out_channels": self.block_out_channels,
            "layers_per_block": self.layers_per_block,
            "attention_head_dim": self.attention_heads,
            "norm_num_groups": self.norm_num_groups,
            "cross_attention_dim": self.cross_attention_dim,
        }
