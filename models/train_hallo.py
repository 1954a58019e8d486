"""Train the embedded Hallo on portrait clips: all five networks together, from nothing.

Where the released recipe trains pictures first and sound and motion later, a small network learns
all at once: a clip's frames from another picture of the face, two motion frames and what is heard.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from data.portraits.face import SIZE
from methods.backbones.hallo import regions
from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.denoising import Guide
from methods.backbones.hallo.faces import thumbnail
from methods.backbones.hallo.folder import save_net
from methods.backbones.hallo.net import HalloNet
from methods.backbones.hallo.reference import Shown
from methods.backbones.hallo.schedule import scheduler
from models.portrait_clips import OTHERS, RUN, PortraitClips, portrait_clips
from models.train_unet import encode_all
from models.training import Recipe, generator, train

THUMBNAIL, WINDOW, MOTION = 8, 5, 2
CONFIG = HalloConfig(
    sample_size=16,
    block_out_channels=(32, 48, 64, 64),
    layers_per_block=1,
    attention_heads=2,
    norm_num_groups=8,
    cross_attention_dim=64,
    motion_heads=2,
    face_dim=3 * THUMBNAIL**2,
    audio_window=WINDOW,
    audio_layers=1,
    audio_features=64,
    audio_hidden=128,
    audio_tokens=4,
    audio_dim=64,
    locator_channels=(8, 16, 24, 32),
)
# Lips cover a fortieth of a picture and are what the sound is about. A weight over latents leaves
# the best predictor as it is and spends more of the training on them.
LIP_FOCUS, FACE_FOCUS = 8.0, 1.0
FIRST = 0.3  # share of clips that are a video's first: motion frames are the reference picture
REACH = 4  # a first clip's reference picture is so many frames before it at most
DROPPED = (0.06, 0.11, 0.15)  # both unheard and unseen; and unheard alone; and unseen alone
STRANGE = 0.25  # share of pictures encoded with a zero face's tokens, as guidance deals them out
BLUR = 0.08  # most noise on motion frames: at sampling they are the network's own


@dataclass(frozen=True)
class Batch:
    """B clips of F frames and all that is told of them."""

    clean: Tensor  # (B, F, 4, h, w)
    pictures: Tensor  # (B, 1 + MOTION, 4, h, w): reference, then motion frames
    faces: Tensor  # (B, face_dim)
    region: Tensor  # (B, 3, 8 h, 8 w)
    masks: list[Tensor]  # per level (B, 1, 3, s * s)
    audio: Tensor  # (B, F, WINDOW, 1, 64)


class Portraits:
    """Training clips as tensors, cut into batches."""

    def __init__(self, clips: PortraitClips, latents: Tensor) -> None:
        self.clips = clips
        self.latents = latents.unflatten(0, (-1, RUN + OTHERS))
        self.features = torch.from_numpy(clips.features)[:, :, None]

    def draw(self, count: int, frames: int, rng: torch.Generator) -> Batch:
        """Random clips, each with a reference picture from elsewhere and motion frames."""
        parts = [self._one(frames, rng) for _ in range(count)]
        columns = list(zip(*parts, strict=True))
        clean, pictures, faces, region, audio = (torch.stack(column) for column in columns[:5])
        masks = [torch.stack(level) for level in zip(*columns[5], strict=True)]
        return Batch(clean, pictures, faces, region, masks, audio)

    def _one(self, frames: int, rng: torch.Generator) -> tuple:
        def below(n: int) -> int:
            return int(torch.randint(n, (1,), generator=rng))

        clip = below(len(self.latents))
        start = MOTION + below(RUN - frames - MOTION + 1)
        latents = self.latents[clip]
        if torch.rand(1, generator=rng) < FIRST:
            shown = max(0, start - below(REACH))
            pictures = latents[[shown] * (1 + MOTION)]
        else:
            shown = RUN + below(OTHERS)
            pictures = latents[[shown, *range(start - MOTION, start)]].clone()
            noise = torch.randn(pictures[1:].shape, generator=rng)
            pictures[1:] += BLUR * torch.rand(1, generator=rng) * noise
        heard = torch.arange(start, start + frames)[:, None] + torch.arange(WINDOW)
        face, region, masks = self._told(clip, shown)
        return (
            latents[start : start + frames],
            pictures,
            face,
            region,
            self.features[clip, heard],  # two frames of sound precede the run
            masks,
        )

    def _told(self, clip: int, shown: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Embedding, region and masks of a picture, as at sampling."""
        box, lips = self.clips.boxes[clip, :, shown]
        side = self.latents.shape[-1]
        face = thumbnail(self.clips.frames[clip, shown], box, THUMBNAIL)
        mask = regions.grown_mask(box, SIZE, SIZE, regions.FACE_GROWTH)
        masks = regions.masks(box, lips, SIZE, SIZE, side, CONFIG.levels)
        return face, regions.face_region(mask, 8 * side), masks


def velocity(
    net: HalloNet, noisy: Tensor, t: Tensor, batch: Batch, heard: Tensor, seen: Tensor, own: Tensor
) -> Tensor:
    """(B, F, 4, h, w) predicted velocity.

    (B,) ``heard``, ``seen``: which clips have their sound, and their face and reference;
    (B, 1 + MOTION) ``own``: which pictures are encoded with their own face's tokens.
    """
    tokens = net.imageproj(batch.faces * seen[:, None])
    told = net.imageproj((batch.faces[:, None] * own[..., None]).flatten(0, 1))
    bank = net.reference_unet.bank(batch.pictures.flatten(0, 1), told)
    kept = {site: states.unflatten(0, own.shape) for site, states in bank.items()}
    guide = Guide(
        tokens=tokens,
        audio=net.audioproj(batch.audio) * heard[:, None, None, None],
        masks=batch.masks,
        shown={site: Shown(states[:, :1], states[:, 1:]) for site, states in kept.items()},
        place=net.face_locator(batch.region) * seen[:, None, None, None],
        referenced=seen.bool().tolist(),
    )
    return net.denoising_unet(noisy, t, guide)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/world-hallo"))
    parser.add_argument("--work", type=Path, default=Path("build/models-hallo"))
    parser.add_argument("--steps", type=int, default=760)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    clips = portrait_clips(args.clips, args.seed, cache=args.work / "clips.npz")
    vae = AutoencoderKL.from_pretrained(args.out / "vae").eval()
    frames = clips.frames.reshape(-1, SIZE, SIZE, 3)
    portraits = Portraits(clips, encode_all(vae, frames, args.work / "latents.pt"))
    noising = scheduler()
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(args.seed).get_state())
        net = HalloNet(CONFIG)

    def loss(replica: nn.Module, step: int, worker: int, workers: int) -> Tensor:
        rng = generator(args.seed, step, worker)
        # Long clips teach the order of frames, many short ones faces and noise levels.
        count, length = ((2, 8), (4, 4), (4, 4))[step % 3]
        batch = portraits.draw(count, length, rng)
        t = (torch.arange(count) + torch.rand(count, generator=rng)) * (1000 / count)
        t = t.long().clamp(max=999)
        noise = torch.randn(batch.clean.shape, generator=rng)
        lot = torch.rand(count, generator=rng)
        heard = (lot >= DROPPED[1]).float()
        seen = ((lot >= DROPPED[0]) & ((lot < DROPPED[1]) | (lot >= DROPPED[2]))).float()
        own = seen[:, None] * (torch.rand(count, 1 + MOTION, generator=rng) >= STRANGE)
        noisy = noising.add_noise(batch.clean, noise, t)
        target = noising.get_velocity(batch.clean, noise, t)
        out = velocity(replica, noisy, t, batch, heard, seen, own)
        shape = batch.clean.shape[-2:]
        _, face, lips = batch.masks[0].unflatten(-1, shape).unbind(2)  # (B, 1, h, w)
        focus = (1 + FACE_FOCUS * face + LIP_FOCUS * lips)[:, :, None]
        return ((out - target).square() * focus / focus.mean()).mean()

    recipe = Recipe(
        steps=args.steps, learning_rate=args.learning_rate, ema=0.99, warmup=40,
        checkpoint_every=50,
    )  # fmt: skip
    train(net, loss, recipe, args.work / "hallo.pt", label="portrait", workers=args.workers)
    save_net(net, args.out)
    for part, config in (
        ("audio", {"kind": "log-mel"}),
        ("face", {"kind": "thumbnail", "side": THUMBNAIL}),
    ):
        (args.out / part).mkdir(exist_ok=True)
        (args.out / part / "config.json").write_text(json.dumps(config) + "\n")


if __name__ == "__main__":
    main()
