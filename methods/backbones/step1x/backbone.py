"""A loaded Step1X-Edit: what its methods call."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor

from methods.backbones.step1x.autoencoder import factor, finite_frames, to_latents, to_pixels
from methods.backbones.step1x.connector import Prepared
from methods.backbones.step1x.encoder import ConditionEncoder
from methods.backbones.step1x.network import Step1XNetwork
from methods.backbones.step1x.packing import PATCH, pack, unpack, working_size
from methods.backbones.step1x.schedule import FlowSchedule

MAX_TOKENS = 8192  # through the transformer in one call, unless one image's branches are more
KEPT = 2048  # conditions: those of a clip of a thousand frames, 5 MB each at real size


@dataclass(eq=False)
class Step1X:
    """Autoencoder, condition encoder, network and schedule.

    Latents are float32 (N, C, h, w) and stay on the CPU between calls; the network computes in its
    own dtype (the released program keeps latents in bfloat16 too). ``evaluations`` counts the
    samples that went through the transformer. Conditions are encoded row by row, so that none
    depends on its company, and kept on the CPU: once per image and instruction.
    """

    network: Step1XNetwork
    vae: AutoencoderKL
    encoder: ConditionEncoder
    size_level: int
    dtype: torch.dtype = torch.float32  # what the network computes in, not what it is stored in
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    schedule: FlowSchedule = field(default_factory=FlowSchedule)
    max_tokens: int = MAX_TOKENS
    evaluations: int = 0
    kept: OrderedDict[tuple[str, str], Prepared] = field(default_factory=OrderedDict, repr=False)

    def working_frames(self, frames: np.ndarray, size_level: int = 0) -> np.ndarray:
        """(N, H, W, 3) uint8 frames at about ``size_level`` squared pixels; 0: the model's own."""
        height, width = frames.shape[1:3]
        level = size_level or self.size_level
        return resized(frames, working_size(width, height, level, factor(self.vae) * PATCH))

    def latent_shape(self, frames: np.ndarray) -> tuple[int, int, int]:
        """(C, h, w) of one working frame's latents."""
        side = factor(self.vae)
        height, width = frames.shape[1:3]
        return self.vae.config.latent_channels, height // side, width // side

    @torch.inference_mode()
    def encode(self, frames: np.ndarray, noise: Tensor | None = None) -> Tensor:
        """Working frames to latents (N, C, h, w): the posterior's mean, or sampled with ``noise``.

        Frames go through one by one, each with the same noise (C, h, w).
        """
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).contiguous()
        latents = [
            to_latents(self.vae, part.to(self.device).float() / 127.5 - 1, noise)
            for part in pixels.split(1)
        ]
        return torch.cat(latents).cpu().contiguous()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents to (N, H, W, 3) uint8 frames; FloatingPointError if any is not finite."""
        frames = [
            finite_frames(to_pixels(self.vae, part.to(self.device).contiguous())).cpu()
            for part in latents.split(1)
        ]
        return torch.cat(frames).numpy()

    @torch.inference_mode()
    def conditions(self, images: Sequence[np.ndarray], instructions: Sequence[str]) -> Prepared:
        """What the connector makes of working images and their instructions, but for the time."""
        keys = [(_digest(image), text) for image, text in zip(images, instructions, strict=True)]
        found = {}
        for key, image in zip(keys, images, strict=True):
            if key not in found:
                found[key] = self.kept.pop(key, None) or self._condition(image, key[1])
        self.kept.update(found)  # the last used are the last to go
        while len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return Prepared.stack([found[key] for key in keys])

    def _condition(self, image: np.ndarray, instruction: str) -> Prepared:
        embeddings, mask = self.encoder.encode([image], [instruction])
        embeddings = embeddings.to(device=self.device, dtype=self.dtype).contiguous()
        return self.network.connector.prepare(embeddings, mask.to(self.device)).to("cpu")

    @torch.inference_mode()
    def predict(
        self,
        latents: Tensor,
        reference: Tensor,
        conditions: Prepared,
        t: float,
        mask_text: bool = False,
    ) -> Tensor:
        """(B, N, C) velocity of the target's tokens at time ``t``, in one call.

        ``latents``, ``reference``: (B, C, h, w), being denoised and clean.
        """
        self.evaluations += len(latents)
        grid = (latents.shape[2] // PATCH, latents.shape[3] // PATCH)
        target, source = (
            pack(x).to(device=self.device, dtype=self.dtype).contiguous()
            for x in (latents, reference)
        )
        times = torch.full((len(latents),), t, dtype=self.dtype, device=self.device)
        conditions = conditions.to(self.device)
        out = self.network.predict(target, source, conditions, times, grid, mask_text)
        return out[:, : target.shape[1]].to(latents.dtype).cpu().contiguous()

    def images_per_call(self, latents: Tensor, branches: int, text: int) -> int:
        """How many images' branches go into one call, at least one; ``text``: its tokens."""
        tokens = text + 2 * latents.shape[2] * latents.shape[3] // PATCH**2
        return max(1, self.max_tokens // (branches * tokens))

    def warm_up(self, frames: np.ndarray) -> None:
        """Use every network once, as a first cell would; keeps nothing."""
        working = self.working_frames(frames[:1])
        latents = self.encode(working)
        conditions = self.conditions([working[0]] * 2, ["", ""])
        self.predict(*[latents.repeat(2, 1, 1, 1)] * 2, conditions, 1.0)
        self.decode(latents)
        self.kept.clear()


def resized(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, H, W, 3) frames at (width, height) by Pillow's default filter, as released."""
    if frames.shape[2:0:-1] == size:
        return frames
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])


def velocity_latents(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, N, C) tokens as latents of the shape of ``like``."""
    return unpack(tokens, (like.shape[2] // PATCH, like.shape[3] // PATCH))


def _digest(image: np.ndarray) -> str:
    content = f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()
    return hashlib.sha256(content).hexdigest()
