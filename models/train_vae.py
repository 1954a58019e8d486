"""Train the embedded AutoencoderKL: 64x64 pictures to 16x16x4 latents and back."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from models.training import Recipe, generator, train
from models.world_images import to_tensor, world_images

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "sample_size": 64,
    "block_out_channels": (24, 48, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
}
KL_WEIGHT = 2e-4


def reconstruction_loss(picture: Tensor, target: Tensor) -> Tensor:
    """Mean absolute and squared error, and the absolute error of the picture's gradients."""
    error = picture - target
    edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    return error.abs().mean() + 4 * error.square().mean() + 0.5 * edges


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/world-tiny/vae"))
    parser.add_argument("--work", type=Path, default=Path("build/models"))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=16000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    frames, _ = world_images(args.pictures, args.seed, cache=args.work / "pictures.npz")
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(args.seed).get_state())
        vae = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)

    def loss(model: nn.Module, step: int, worker: int, workers: int) -> Tensor:
        rng = generator(args.seed, step, worker)
        index = torch.randint(len(frames), (args.batch // workers,), generator=rng)
        picture = to_tensor(frames[index.numpy()]).contiguous(memory_format=torch.channels_last)
        posterior = model.encode(picture).latent_dist
        decoded = model.decode(posterior.sample(generator=rng)).sample
        return reconstruction_loss(decoded, picture) + KL_WEIGHT * posterior.kl().mean() / 1024

    recipe = Recipe(steps=args.steps, learning_rate=2e-3, ema=0.995, weight_decay=0.0)
    vae = train(vae, loss, recipe, args.work / "vae.pt", label="autoencoder", workers=args.workers)
    latents = encode(vae, frames[:2048])
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
    vae.to(memory_format=torch.contiguous_format).save_pretrained(args.out)


def encode(vae: AutoencoderKL, frames: np.ndarray) -> Tensor:
    """(N, 4, h, w) posterior means of (N, H, W, 3) uint8 frames, unscaled."""
    with torch.inference_mode():
        return torch.cat(
            [
                vae.encode(to_tensor(frames[k : k + 64])).latent_dist.mean
                for k in range(0, len(frames), 64)
            ]
        )


if __name__ == "__main__":
    main()
