"""Train the portraits' AutoencoderKL, starting from the world's, of which it has the shape."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from data.portraits.face import SIZE
from methods.backbones.hallo.schedule import LATENT_SCALE
from models.portrait_clips import RUN, portrait_clips
from models.train_vae import KL_WEIGHT, encode, reconstruction_loss
from models.training import Recipe, generator, train
from models.world_images import to_tensor

MOUTH = 4.0  # how much more an error about the mouth counts: it covers a fortieth of a picture
ROWS, COLUMNS = slice(30, 53), slice(20, 45)  # where mouths are


def rescale(vae: AutoencoderKL, factor: float) -> None:
    """Divide an autoencoder's latents by a factor; the pictures stay as they are.

    Latents times the released scale then have the unit variance that a denoiser expects.
    """
    with torch.no_grad():
        half = vae.config.latent_channels
        vae.quant_conv.weight[:half] /= factor
        vae.quant_conv.bias[:half] /= factor
        vae.quant_conv.bias[half:] -= 2 * math.log(factor)  # of the log variance
        vae.post_quant_conv.weight *= factor
    vae.register_to_config(scaling_factor=LATENT_SCALE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/world-hallo/vae"))
    parser.add_argument("--start", type=Path, default=Path("models/world-tiny/vae"))
    parser.add_argument("--work", type=Path, default=Path("build/models-hallo"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    clips = portrait_clips(args.clips, args.seed, cache=args.work / "clips.npz")
    frames = clips.frames[:, RUN - 2 :].reshape(-1, SIZE, SIZE, 3)
    vae = AutoencoderKL.from_pretrained(args.start).to(memory_format=torch.channels_last)

    def loss(model: nn.Module, step: int, worker: int, workers: int) -> Tensor:
        rng = generator(args.seed, step, worker)
        index = torch.randint(len(frames), (args.batch // workers,), generator=rng)
        picture = to_tensor(frames[index.numpy()]).contiguous(memory_format=torch.channels_last)
        posterior = model.encode(picture).latent_dist
        decoded = model.decode(posterior.sample(generator=rng)).sample
        error = (decoded - picture)[..., ROWS, COLUMNS]
        whole = reconstruction_loss(decoded, picture) + KL_WEIGHT * posterior.kl().mean() / 1024
        return whole + MOUTH * error.square().mean()

    recipe = Recipe(steps=args.steps, learning_rate=1.5e-3, ema=0.98, warmup=30, weight_decay=0.0)
    vae = train(
        vae, loss, recipe, args.work / "vae.pt", label="portrait autoencoder", workers=args.workers
    )
    rescale(vae, LATENT_SCALE * encode(vae, frames[:512]).std().item())
    vae.to(memory_format=torch.contiguous_format).save_pretrained(args.out)


if __name__ == "__main__":
    main()
