"""Train the embedded Step1X-Edit: transformer, connector and condition encoder together.

Flow matching as Step1X-Edit is used: the velocity, noise minus picture, at a time between them,
from the noisy target's tokens, the source's, and the encoded instruction. The autoencoder is
world-tiny's and stays as it is.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from data.progress import Progress
from data.world.instruct import KEEP, PHRASINGS
from methods.backbones.step1x.folder import Parts
from methods.backbones.step1x.packing import pack
from methods.backbones.step1x.world_encoder import WorldConditionEncoder, glances
from models.step1x_editor import Editor
from models.training import Recipe, generator, train
from models.world_images import to_tensor
from models.world_triples import CORNERS, Triples, world_triples

# Objects cover a fifth of a picture and are what most instructions are about; of these, a new
# shape with corners is what takes longest to learn.
OBJECT_FOCUS = 4.0
KEPT, DROPPED = 0.06, 0.1  # shares of samples told to keep the picture, and told nothing
SHARES = {"colour": 0.07, "round": 0.12, "cornered": 0.74, "ground": 0.07}
# Times: logit-normal, moved towards noise as the schedule of 64 tokens is; what is drawn is
# settled there.
TIME_MEAN, TIME_STD = 0.7, 1.1


@dataclass(frozen=True)
class Examples:
    """Triples as the network sees them."""

    tokens: Tensor  # (P, 64, 16) packed latents
    glances: Tensor  # (P, 4, 192)
    focus: Tensor  # (P, 64) weight of a picture's tokens, 1 on average
    pairs: Tensor  # (T, 2)
    ids: Tensor  # (T, 2, max_words)
    chance: Tensor  # (T,)


def encode(vae: AutoencoderKL, frames: np.ndarray, cache: Path) -> Tensor:
    """(P, 4, 16, 16) scaled posterior means; encoded once, then read back."""
    if cache.exists():
        return torch.load(cache, weights_only=True)
    vae = vae.to(memory_format=torch.channels_last)
    progress, latents = Progress("encode pictures", len(frames)), []
    with torch.inference_mode():
        for k in range(0, len(frames), 64):
            part = to_tensor(frames[k : k + 64]).contiguous(memory_format=torch.channels_last)
            mean = vae.encode(part).latent_dist.mean
            latents.append(mean.contiguous() * vae.config.scaling_factor)
            progress.update(len(mean))
    torch.save(torch.cat(latents), cache)
    return torch.cat(latents)


def chances(triples: Triples) -> Tensor:
    """(T,) how often a triple is drawn: by what its instruction asks for."""
    asked = [list(PHRASINGS)[kind] for kind in triples.kinds]
    new = [str(texts[0]).split()[-1] for texts in triples.instructions]
    groups = [
        kind if kind != "shape" else "cornered" if name in CORNERS else "round"
        for kind, name in zip(asked, new, strict=True)
    ]
    counts = Counter(groups)
    return torch.tensor([SHARES[group] / counts[group] for group in groups])


def examples(triples: Triples, latents: Tensor, encoder: WorldConditionEncoder) -> Examples:
    """Everything packed and numbered."""
    focus = 1 + OBJECT_FOCUS * torch.from_numpy(triples.discs).flatten(1).float()
    texts, where = np.unique(triples.instructions, return_inverse=True)
    ids = torch.stack([encoder.word_ids(str(text)) for text in texts])
    return Examples(
        pack(latents),
        glances(triples.frames),
        focus / focus.mean(),
        torch.from_numpy(triples.pairs),
        ids[torch.from_numpy(where.reshape(triples.instructions.shape))],
        chances(triples),
    )


def times(count: int, rng: torch.Generator) -> Tensor:
    """(count,) flow times, one from each of ``count`` equally likely ranges."""
    u = (torch.arange(count) + torch.rand(count, generator=rng)) / count
    return torch.sigmoid(TIME_MEAN + TIME_STD * torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", type=Path, default=Path("models/world-tiny/vae"))
    parser.add_argument("--out", type=Path, default=Path("models/world-step1x"))
    parser.add_argument("--work", type=Path, default=Path("build/models-step1x"))
    parser.add_argument("--begin", type=Path, help="a trained editor's folder to go on from")
    parser.add_argument("--families", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    triples = world_triples(args.families, args.seed, cache=args.work / "triples.npz")
    vae = AutoencoderKL.from_pretrained(args.vae).eval()
    latents = encode(vae, triples.frames, args.work / "latents.pt")
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(args.seed).get_state())
        model = Editor()
    if args.begin:
        begun = Parts.from_pretrained(args.begin)
        model.network.load_state_dict(begun.network.state_dict())
        model.encoder.load_state_dict(begun.encoder.state_dict())
    data, keep = examples(triples, latents, model.encoder), model.encoder.word_ids(KEEP)

    def loss(replica: nn.Module, step: int, worker: int, workers: int) -> Tensor:
        rng, size = generator(args.seed, step, worker), args.batch // workers
        index = torch.multinomial(data.chance, size, replacement=True, generator=rng)
        source, target = data.pairs[index].unbind(1)
        ids = data.ids[index, torch.randint(2, (size,), generator=rng)]
        role = torch.rand(size, generator=rng)
        ids[role < DROPPED] = 0
        kept = role > 1 - KEPT
        ids[kept], target = keep, torch.where(kept, source, target)
        clean, t = data.tokens[target], times(size, rng)
        noise = torch.randn(clean.shape, generator=rng)
        at = t[:, None, None]
        predicted = replica(
            torch.lerp(clean, noise, at), data.tokens[source], data.glances[source], ids, t
        )
        error = (predicted - (noise - clean)).square().mean(dim=2)
        return (error * data.focus[source]).mean()

    recipe = Recipe(steps=args.steps, learning_rate=args.learning_rate, ema=0.998, warmup=100)
    matrices = [p for name, p in model.named_parameters() if "blocks" in name and p.ndim == 2]
    checkpoint = args.work / "step1x.pt"
    train(
        model, loss, recipe, checkpoint, label="editor", workers=args.workers, orthogonal=matrices
    )
    vae.to(memory_format=torch.contiguous_format)
    Parts(model.network, vae, model.encoder).save_pretrained(args.out, size_level=64)


if __name__ == "__main__":
    main()
