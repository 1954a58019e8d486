"""Stable-Diffusion-shaped backbones: one code path for the embedded model, SD 1.5 and SD 2.1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from data.errors import UserError

MAX_SAMPLES = 48  # through the UNet in one call
MAX_FRAMES = 16  # through the autoencoder in one call


@dataclass(eq=False)
class StableDiffusion:
    """Autoencoder, text encoder, UNet and noise schedule.

    Latents are float32 (N, 4, h, w) and stay on the CPU between network calls: they are small, and
    so a clip's length, its inversion and copies of a state take no device memory. Networks see
    them in one memory layout, since kernels round differently in another: latents read back from
    the store give the bits of those just computed. ``evaluations`` counts the samples that went
    through the UNet.
    """

    unet: UNet2DConditionModel
    scheduler: DDIMScheduler
    vae: AutoencoderKL | None = None
    text_encoder: CLIPTextModel | None = None
    tokenizer: CLIPTokenizer | None = None
    max_samples: int = MAX_SAMPLES
    evaluations: int = 0
    embeddings: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def from_folder(cls, folder: Path, device: str, dtype: str) -> StableDiffusion:
        """Load a diffusers folder (safetensors only).

        The autoencoder stays in float32: its decoder overflows in half precision.
        """
        precision = getattr(torch, dtype)
        only = {"use_safetensors": True, "local_files_only": True}
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=precision, **only)
        vae = AutoencoderKL.from_pretrained(folder / "vae", **only)
        text_encoder = CLIPTextModel.from_pretrained(
            folder / "text_encoder", dtype=precision, **only
        )
        for network in (unet, vae, text_encoder):
            network.to(device).eval().requires_grad_(False)
        return cls(
            unet=unet,
            scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"),
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.unet.device

    def alpha(self, timestep: int) -> Tensor:
        """Cumulative alpha at a timestep, a float32 scalar; past the end, the schedule's last."""
        if timestep < 0:
            return self.scheduler.final_alpha_cumprod
        return self.scheduler.alphas_cumprod[timestep]

    def encode(self, frames: np.ndarray) -> Tensor:
        """(N, H, W, 3) uint8 frames to latents: the posterior's mean times the scaling factor."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        height, width = frames.shape[1:3]
        if height % factor or width % factor:
            raise UserError(
                f"frames of {width}x{height} pixels do not fit this backbone: width and height "
                f"must be multiples of {factor}; crop or resize the clip in its manifest."
            )
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            means = [
                self.vae.encode(part.to(self.device).float() / 127.5 - 1).latent_dist.mean
                for part in pixels.contiguous().split(MAX_FRAMES)
            ]
        return torch.cat(means).cpu().contiguous() * self.vae.config.scaling_factor

    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents to (N, H, W, 3) uint8 frames; FloatingPointError if any is not finite."""
        with torch.inference_mode():
            scaled = latents.to(self.device).contiguous() / self.vae.config.scaling_factor
            pixels = torch.cat([self.vae.decode(part).sample for part in scaled.split(MAX_FRAMES)])
        if not torch.isfinite(pixels).all():
            raise FloatingPointError("decoded frames contain NaN or infinity")
        levels = ((pixels + 1) * 127.5).clamp(0, 255).round()
        return levels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """(B, L, C) text embeddings, padded and truncated to the tokenizer's length.

        Each prompt is encoded alone and kept, so that its embedding never depends on its company.
        """
        for prompt in prompts:
            if prompt not in self.embeddings:
                tokens = self.tokenizer(
                    prompt,
                    padding="max_length",
                    max_length=self.tokenizer.model_max_length,
                    truncation=True,
                    return_tensors="pt",
                )
                with torch.inference_mode():
                    ids = tokens.input_ids.to(self.device)
                    self.embeddings[prompt] = self.text_encoder(ids).last_hidden_state[0]
        return torch.stack([self.embeddings[prompt] for prompt in prompts])

    def predict(self, latents: Tensor, timestep: int, embeddings: Tensor) -> Tensor:
        """The noise in (B, 4, h, w) latents given (B, L, C) embeddings, in one network call."""
        self.evaluations += len(latents)
        network = {"device": self.device, "dtype": self.unet.dtype}
        with torch.inference_mode():
            sample = latents.to(**network).contiguous()
            out = self.unet(sample, timestep, embeddings.to(**network)).sample
        out = out.float().cpu().contiguous()
        if self.scheduler.config.prediction_type == "v_prediction":
            alpha = self.alpha(timestep)
            out = alpha**0.5 * out + (1 - alpha) ** 0.5 * latents
        return out
