"""Networks to measure on: random weights, the embedded model's size and one like SD's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from methods.backbones.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class Size:
    """A network's size by name."""

    name: str
    channels: tuple[int, ...]
    heads: int
    groups: int
    text: int  # width of text embeddings
    side: int  # of the latents
    repeats: int  # timed turns: seconds on a CPU each, or minutes


#: The embedded model, and channels (160, 320, 640, 640) at 32x32 latents: half of SD 1.5's width.
EMBEDDED = Size("embedded", (32, 64, 96, 96), 2, 8, 96, 16, 3)
SD_LIKE = Size("sd-like", (160, 320, 640, 640), 8, 32, 768, 32, 1)
SIZES = (EMBEDDED, SD_LIKE)


def random_backbone(size: Size, device: str, samples: int) -> StableDiffusion:
    """A backbone of that size whose calls hold at most ``samples``."""
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        unet = UNet2DConditionModel(
            block_out_channels=size.channels,
            attention_head_dim=size.heads,  # diffusers' name for the number of heads here
            norm_num_groups=size.groups,
            cross_attention_dim=size.text,
            sample_size=size.side,
        )
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    unet = unet.to(device).eval().requires_grad_(False)
    return StableDiffusion(unet=unet, scheduler=scheduler, max_samples=samples)
