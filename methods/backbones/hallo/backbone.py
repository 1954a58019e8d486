"""A loaded Hallo: what its method calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from data.errors import UserError
from methods.backbones.hallo import regions
from methods.backbones.hallo.audio_features import Extractor, load_extractor, windowed
from methods.backbones.hallo.denoising import Branch, Guide
from methods.backbones.hallo.faces import Analyser, Face, load_analyser
from methods.backbones.hallo.folder import load_net
from methods.backbones.hallo.net import HalloNet
from methods.backbones.hallo.portrait import Segment, guide
from methods.backbones.hallo.rows import distinct_rows
from methods.backbones.hallo.schedule import LATENT_SCALE, scheduler

LOCATED = 8  # pixels that the face locator sees to a latent, whatever the autoencoder

T = TypeVar("T")


@dataclass(eq=False)
class Hallo:
    """Networks, autoencoder, and what hears and looks.

    Latents are float32 (F, 4, h, w) and stay on the CPU between calls. ``evaluations`` counts the
    pictures that went through the reference or the denoising network. What was prepared last is
    kept: the steps of a segment share it.
    """

    net: HalloNet
    vae: AutoencoderKL
    extractor: Extractor
    analyser: Analyser
    evaluations: int = 0
    bank_dtype: torch.dtype = torch.float16  # as released, whatever the networks compute in
    kept: dict[str, tuple[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_folder(cls, folder: Path, device: str, dtype: str) -> Hallo:
        """Load a folder; the autoencoder stays in float32."""
        only = {"use_safetensors": True, "local_files_only": True}
        vae = AutoencoderKL.from_pretrained(folder / "vae", **only)
        return cls(
            net=load_net(folder).to(device=device, dtype=getattr(torch, dtype)),
            vae=vae.to(device).eval().requires_grad_(False),
            extractor=load_extractor(folder / "audio", device),
            analyser=load_analyser(folder / "face"),
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return self._weight.dtype

    @property
    def _weight(self) -> Tensor:
        # One of many: diffusers' own properties walk through all modules at every question.
        return self.net.imageproj.norm.weight

    def latent_shape(self, frames: np.ndarray) -> tuple[int, int, int]:
        """(4, h, w) of one frame's latents; :class:`UserError` for frames that do not fit."""
        config = self.net.config
        multiple = 2 ** (len(self.vae.config.block_out_channels) + config.levels - 2)
        height, width = frames.shape[1:3]
        if height != width or height % multiple:
            raise UserError(
                f"frames of {width}x{height} pixels do not fit this backbone: they must be square, "
                f"of a multiple of {multiple} pixels; crop or resize the clip in its manifest."
            )
        side = height // 2 ** (len(self.vae.config.block_out_channels) - 1)
        return config.latent_channels, side, side

    @torch.inference_mode()
    def encode(self, pictures: Tensor) -> Tensor:
        """(P, 3, H, W) in -1..1 to (P, 4, h, w); see :func:`as_minus_one_to_one`."""
        ranged = as_minus_one_to_one(pictures)
        means = [self.vae.encode(x.to(self.device)).latent_dist.mean for x in ranged.split(1)]
        return torch.cat(means).cpu().contiguous() * LATENT_SCALE

    @torch.inference_mode()
    def to_pixels(self, latents: Tensor) -> Tensor:
        """(F, 4, h, w) to (F, 3, H, W) in 0..1, one by one; FloatingPointError if not finite."""
        frames = [
            self.vae.decode(x.to(self.device).contiguous() / LATENT_SCALE).sample.cpu()
            for x in latents.split(1)
        ]
        pixels = torch.cat(frames)
        if not torch.isfinite(pixels).all():
            raise FloatingPointError("decoded frames contain NaN or infinity")
        return (pixels / 2 + 0.5).clamp(0, 1)

    def decode(self, latents: Tensor) -> np.ndarray:
        """(F, 4, h, w) to (F, H, W, 3) uint8 frames."""
        parts = [(self.to_pixels(part) * 255).round().to(torch.uint8) for part in latents.split(16)]
        return torch.cat(parts).permute(0, 2, 3, 1).numpy()

    def face(self, picture: np.ndarray, boxes: tuple[regions.Box, regions.Box] | None) -> Face:
        """Whose face an (H, W, 3) picture shows, and where; known ``boxes``: face, lips."""
        key = _digest(picture, *(np.array(box) for box in boxes or ()))
        return self._keep("face", key, lambda: self.analyser(picture, boxes))

    def hear(self, samples: np.ndarray, total: int, frames: slice) -> Tensor:
        """(F, window, layers, dim) that some of ``total`` frames hear of (S,) int16 samples."""
        key = _digest(samples, np.array(total))
        features = self._keep("audio", key, lambda: self.extractor(samples, total))
        return windowed(features, self.net.config.audio_window, frames)

    def segment(
        self,
        picture: np.ndarray,
        face: Face,
        audio: Tensor,
        pictures: Tensor,
        order: tuple[int, ...],
    ) -> Segment:
        """What a segment is made from; ``audio``: what its frames hear."""
        height, width = picture.shape[:2]
        box = regions.grown_mask(face.box, height, width, regions.FACE_GROWTH)
        side, levels = pictures.shape[-1], self.net.config.levels
        return Segment(
            pictures=pictures,
            order=order,
            face=face.embedding,
            region=regions.face_region(box, LOCATED * side),
            masks=regions.masks(face.box, face.lips, height, width, side, levels),
            audio=audio,
        )

    @torch.inference_mode()
    def prepare(self, segment: Segment, guided: bool) -> Guide:
        """What the denoising network reads of a segment; see :func:`portrait.guide`."""
        parts = (segment.pictures, segment.face, segment.region, *segment.masks, segment.audio)
        numbers = np.array([*segment.order, guided])
        key = _digest(numbers, *(part.numpy() for part in parts))
        return self._keep("guide", key, lambda: self._prepared(segment, guided))

    def _prepared(self, segment: Segment, guided: bool) -> Guide:
        self.evaluations += len(distinct_rows(segment.order, 1 + guided))
        moved = segment.to(self.device, self.dtype)
        return guide(self.net, moved, guided, self.bank_dtype)

    @torch.inference_mode()
    def velocity(
        self,
        latents: Tensor,
        timestep: int,
        prepared: Guide,
        motion_scale: tuple[float, float, float],
        branch: Branch,
    ) -> Tensor:
        """(B, F, 4, h, w) of (F, 4, h, w) latents under the guide's B conditions, in one call."""
        conditions = len(prepared.tokens)
        self.evaluations += conditions * len(latents)
        sample = latents.to(device=self.device, dtype=self.dtype)
        repeated = sample.repeat(conditions, 1, 1, 1, 1)
        scaled = replace(prepared, motion_scale=motion_scale)
        out = self.net.denoising_unet(repeated, timestep, scaled, branch)
        return out.float().cpu().contiguous()

    def move(self, latents: Tensor, velocity: Tensor, timestep: int, n: int) -> Tensor:
        """One DDIM step of a walk of ``n``, without added noise."""
        return scheduler(n).step(velocity, timestep, latents, eta=0.0).prev_sample

    def warm_up(self, frames: np.ndarray) -> None:
        """Use every network once, as a first cell would; keeps nothing."""
        pictures = torch.from_numpy(frames[:1]).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = self.encode(pictures.contiguous())
        side, config = latents.shape[-1], self.net.config
        sides = [side >> level for level in range(config.levels)]
        segment = Segment(
            pictures=latents,
            order=(0,),
            face=torch.zeros(config.face_dim),
            region=torch.ones(3, LOCATED * side, LOCATED * side),
            masks=[torch.ones(1, 3, s * s) for s in sides],
            audio=torch.zeros(1, config.audio_window, config.audio_layers, config.audio_features),
        )
        self.velocity(latents, 999, self.prepare(segment, True), (1.0, 1.0, 1.0), "released")
        self.to_pixels(latents)
        self.forget()

    def forget(self) -> None:
        """Keep nothing: the next cell pays for what it uses."""
        self.kept.clear()

    def _keep(self, name: str, key: str, work: Callable[[], T]) -> T:
        """The last result under ``name`` if it was made of the same, else a new one."""
        if name not in self.kept or self.kept[name][0] != key:
            self.kept.pop(name, None)  # its memory is free before the next is made
            self.kept[name] = (key, work())
        return self.kept[name][1]


def as_minus_one_to_one(pictures: Tensor) -> Tensor:
    """Pictures in -1..1; as released, those without any negative value are taken to be in 0..1."""
    return pictures * 2 - 1 if pictures.min() >= 0 else pictures


def _digest(*arrays: np.ndarray) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
