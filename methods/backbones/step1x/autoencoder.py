"""Pixels to latents and back with Flux's autoencoder, or any AutoencoderKL."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor


def to_latents(vae: AutoencoderKL, pixels: Tensor, noise: Tensor | None = None) -> Tensor:
    """(B, 3, H, W) in -1 to 1 to (B, C, h, w): (z - shift) * scale.

    z is the posterior's mean or, with ``noise`` (C, h, w), the sample that it makes: the released
    program samples with the device's global generator.
    """
    posterior = vae.encode(pixels).latent_dist
    z = posterior.mean if noise is None else posterior.mean + posterior.std * noise.to(pixels)
    return (z - (vae.config.shift_factor or 0)) * vae.config.scaling_factor


def to_pixels(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """The way back: (B, C, h, w) to (B, 3, H, W), about -1 to 1."""
    z = latents / vae.config.scaling_factor + (vae.config.shift_factor or 0)
    return vae.decode(z).sample


def factor(vae: AutoencoderKL) -> int:
    """Pixels along a side of a latent pixel."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


def finite_frames(pixels: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 of (B, 3, H, W) pixels; FloatingPointError if any is not finite."""
    if not torch.isfinite(pixels).all():
        raise FloatingPointError("decoded frames contain NaN or infinity")
    levels = ((pixels + 1) * 127.5).clamp(0, 255).round()
    return levels.to(torch.uint8).permute(0, 2, 3, 1)
