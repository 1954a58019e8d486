"""Polish the embedded decoder alone, for squared error on clean latents.

What the released ``sd-vae-ft-mse`` did for Stable Diffusion: the encoder, and with it every latent
a denoiser was trained on, stays as it is, so this may run before, beside or after the denoiser.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from models.training import Recipe, generator, train
from models.world_images import to_tensor, world_images

JITTER = 0.02  # standard deviation of latent noise, in units of the latents' own


class Decoder(nn.Module):
    """The half of an AutoencoderKL that turns latents into pictures."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latents: Tensor) -> Tensor:
        """(B, 4, h, w) unscaled latents to (B, 3, H, W) in [-1, 1]."""
        return self.decoder(self.post_quant_conv(latents))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, default=Path("models/world-tiny/vae"))
    parser.add_argument("--work", type=Path, default=Path("build/models"))
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=16000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    frames, _ = world_images(args.pictures, args.seed, cache=args.work / "pictures.npz")
    vae = AutoencoderKL.from_pretrained(args.vae).eval()
    latents = torch.load(args.work / "latents.pt", weights_only=True) / vae.config.scaling_factor

    def loss(replica: nn.Module, step: int, worker: int, workers: int) -> Tensor:
        rng = generator(args.seed, step, worker)
        index = torch.randint(len(frames), (args.batch // workers,), generator=rng)
        clean = latents[index]
        jitter = JITTER / vae.config.scaling_factor * torch.randn(clean.shape, generator=rng)
        error = replica(clean + jitter) - to_tensor(frames[index.numpy()])
        return error.square().mean() + 0.05 * error.abs().mean()

    recipe = Recipe(steps=args.steps, learning_rate=7e-4, ema=0.99, warmup=50, weight_decay=0.0)
    train(
        Decoder(vae), loss, recipe, args.work / "decoder.pt", label="decoder", workers=args.workers
    )
    vae.save_pretrained(args.vae)


if __name__ == "__main__":
    main()
