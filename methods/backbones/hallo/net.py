"""The five networks of a Hallo checkpoint as one module, with the checkpoint's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.denoising import UNSCALED, Branch, DenoisingUNet, Guide
from methods.backbones.hallo.projections import AudioProjection, FaceLocator, ImageProjection
from methods.backbones.hallo.reference import ReferenceUNet, Shown, reference_bank


@dataclass(frozen=True)
class Portrait:
    """What drives one clip of F frames of one face; a batch of clips is a list of these.

    ``pictures``: (1 + n, 4, h, w) latents of the reference picture and n motion frames. ``face``:
    (face_dim,) embedding. ``region``: (3, 8 h, 8 w) of 0 to 1, where the face may be.
    ``masks``: per level, finest first, (F or 1, 3, h * w) shares of full picture, face and lips.
    ``audio``: (F, window, layers, dim) features that every frame hears.
    """

    pictures: Tensor
    face: Tensor
    region: Tensor
    masks: Sequence[Tensor]
    audio: Tensor


class HalloNet(nn.Module):
    """Reference and denoising networks, face locator, image and audio projections."""

    def __init__(self, config: HalloConfig) -> None:
        super().__init__()
        self.config = config
        first = config.block_out_channels[0]
        self.reference_unet = ReferenceUNet(config)
        self.denoising_unet = DenoisingUNet(config)
        self.face_locator = FaceLocator(first, config.locator_channels)
        self.imageproj = ImageProjection(
            config.face_dim, config.cross_attention_dim, config.face_tokens
        )
        heard = config.audio_window * config.audio_layers * config.audio_features
        self.audioproj = AudioProjection(
            heard, config.audio_hidden, config.audio_dim, config.audio_tokens
        )

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        portraits: Sequence[Portrait],
        heard: Sequence[bool],
        referenced: Sequence[bool],
        motion_scale: tuple[float, float, float] = UNSCALED,
        branch: Branch = "released",
    ) -> Tensor:
        """Predict velocity as training does: B clips, each by its own condition.

        ``sample``: (B, F, 4, h, w) noisy latents; ``timestep``: (B,). ``heard``, ``referenced``:
        which clips are given their audio and which their face and reference picture; the others
        are given what guidance's unconditional half is given. Motion frames are given to all.
        """
        banks, tokens, audio, places = [], [], [], []
        for portrait, hears, sees in zip(portraits, heard, referenced, strict=True):
            told = self.imageproj(portrait.face[None] * sees)
            order = range(len(portrait.pictures))
            banks.append(reference_bank(self.reference_unet, portrait.pictures, order, told))
            tokens.append(told)
            audio.append(self.audioproj(portrait.audio[None]) * hears)
            places.append(self.face_locator(portrait.region[None]) * sees)
        guide = Guide(
            tokens=torch.cat(tokens),
            audio=torch.cat(audio),
            masks=[torch.stack(level) for level in zip(*(p.masks for p in portraits), strict=True)],
            shown={site: _own([bank[site] for bank in banks]) for site in banks[0]},
            place=torch.cat(places),
            referenced=referenced,
            motion_scale=motion_scale,
        )
        return self.denoising_unet(sample, timestep, guide, branch)


def _own(banks: Sequence[Tensor]) -> Shown:
    """Clips that each see their own picture and motion frames."""
    kept = torch.cat(list(banks))
    return Shown(kept[:, :1], kept[:, 1:])
