"""Train the embedded UNet2DConditionModel and its CLIPTextModel together, on the VAE's latents."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from data.progress import Progress
from data.world.vocabulary import SHAPES
from models.tokenizer import MAX_LENGTH, NEGATIVE_PROMPTS, build_tokenizer
from models.training import Recipe, generator, train
from models.world_images import object_discs, to_tensor, world_images

TEXT_WIDTH = 96
UNET = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": (32, 64, 96, 96),
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
}
# Objects cover a sixth of a picture and are what its words are about. A weight over pixels leaves
# the best predictor as it is and spends more of the training on them.
OBJECT_FOCUS = 4.0
# Corners at any angle are what takes longest to learn: pictures without any come less often.
ROUND = ("circle", "ring")
ROUND_SHARE = 0.4
NO_CAPTION = ("", "", *NEGATIVE_PROMPTS)


class TextToNoise(nn.Module):
    """Token ids and noisy latents to predicted noise: what is trained jointly."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=TEXT_WIDTH,
                intermediate_size=4 * TEXT_WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=MAX_LENGTH,
                projection_dim=TEXT_WIDTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        self.unet = UNet2DConditionModel(**UNET)

    def forward(self, latents: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """(B, 4, h, w) latents, (B,) timesteps, (B, L) ids to (B, 4, h, w) noise."""
        return self.unet(latents, t, self.text_encoder(ids).last_hidden_state).sample


def token_ids(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """(N, L) padded token ids."""
    return tokenizer(
        captions,
        padding="max_length",
        truncation=True,
        max_length=MAX_LENGTH,
        return_tensors="pt",
    ).input_ids


def encode_all(vae: AutoencoderKL, frames: np.ndarray, cache: Path) -> Tensor:
    """(N, 4, h, w) scaled latents of (N, H, W, 3) frames; encoded once, then read back."""
    if cache.exists():
        return torch.load(cache, weights_only=True)
    progress, latents = Progress("encode training pictures", len(frames)), []
    with torch.inference_mode():
        for k in range(0, len(frames), 64):
            mean = vae.encode(to_tensor(frames[k : k + 64])).latent_dist.mean
            latents.append(mean * vae.config.scaling_factor)
            progress.update(len(mean))
    torch.save(torch.cat(latents), cache)
    return torch.cat(latents)


def noise_weight(alphas: Tensor) -> Tensor:
    """Loss weight of each timestep, 1 on average.

    The weight of predicting v (Salimans and Ho 2022) with the signal's share cut at 5 as Min-SNR
    does (Hang et al. 2023). How many corners a shape has is settled at high noise, where an error
    in the noise hides a large one in the picture: the plain loss on noise drew stars of four or six
    arms. The bounds keep both ends in view; DDIM inversion depends on the low one.
    """
    snr = alphas / (1 - alphas)
    weight = ((snr.clamp(max=5) + 1) / snr).clamp(min=0.5, max=10)
    return weight / weight.mean()


def chance(caption: str) -> float:
    """How often a picture is drawn, relative to others."""
    shapes = [word for word in caption.split() if word in SHAPES]
    return ROUND_SHARE if all(shape in ROUND for shape in shapes) else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/world-tiny"))
    parser.add_argument("--work", type=Path, default=Path("build/models"))
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=16000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    frames, captions = world_images(args.pictures, args.seed, cache=args.work / "pictures.npz")
    vae = AutoencoderKL.from_pretrained(args.out / "vae").eval()
    latents = encode_all(vae, frames, args.work / "latents.pt")
    focus = 1 + OBJECT_FOCUS * object_discs(args.pictures, args.seed, size=latents.shape[-1])
    focus = (focus / focus.mean())[:, None]
    drawn = torch.tensor([chance(caption) for caption in captions])
    tokenizer = build_tokenizer()
    ids = token_ids(tokenizer, captions)
    no_caption = token_ids(tokenizer, list(NO_CAPTION))
    scheduler = DDIMScheduler(**SCHEDULE)
    weight = noise_weight(scheduler.alphas_cumprod)
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(args.seed).get_state())
        model = TextToNoise(tokenizer).to(memory_format=torch.channels_last)

    def loss(replica: nn.Module, step: int, worker: int, workers: int) -> Tensor:
        rng, size = generator(args.seed, step, worker), args.batch // workers
        index = torch.multinomial(drawn, size, replacement=True, generator=rng)
        clean, text = latents[index], ids[index]
        dropped = torch.rand(size, generator=rng) < 0.1
        text[dropped] = no_caption[torch.randint(len(no_caption), (size,), generator=rng)[dropped]]
        # One timestep from each of ``size`` equal ranges: less variance than independent draws.
        t = torch.arange(size) + torch.rand(size, generator=rng)
        t = (t * (1000 / size)).long().clamp(max=999)
        noise = torch.randn(clean.shape, generator=rng)
        noisy = scheduler.add_noise(clean, noise, t).contiguous(memory_format=torch.channels_last)
        error = (replica(noisy, t, text) - noise).square() * focus[index]
        return (weight[t] * error.mean(dim=(1, 2, 3))).mean()

    recipe = Recipe(steps=args.steps, learning_rate=args.learning_rate, ema=0.999, warmup=300)
    train(model, loss, recipe, args.work / "unet.pt", label="denoiser", workers=args.workers)
    model.to(memory_format=torch.contiguous_format)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=build_tokenizer(),  # calls above left their padding in the other
        unet=model.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(args.out)


if __name__ == "__main__":
    main()
