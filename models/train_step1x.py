"""Train the embedded Step1X-Edit: transformer, connector and condition encoder together.

Flow matching as Step1X-Edit is used: the velocity, noise minus picture, at a time between them,
from the noisy target's tokens, the source's, and the encoded instruction. The autoencoder is
world-tiny's and stays as it is.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import Tensor, nn

from data.progress import Progress
from data.world.instruct import KEEP, PHRASINGS, WORDS
from methods.backbones.step1x.connector import Step1XConnector
from methods.backbones.step1x.folder import Parts
from methods.backbones.step1x.network import Step1XNetwork
from methods.backbones.step1x.packing import pack
from methods.backbones.step1x.world_encoder import WorldConditionEncoder, glances
from models.training import Recipe, generator, train
from models.world_images import to_tensor
from models.world_triples import GRID, Triples, world_triples

HEADS, HEAD_DIM, CONDITION, POOLED = 4, 32, 128, 64
AXES = (4, 14, 14)  # of a head's width, for text, rows and columns: the released shares
BLOCKS = {"num_layers": 3, "num_single_layers": 3}
# Objects cover a fifth of a picture and are what most instructions are about; of these, a new
# shape is what takes longest to learn.
OBJECT_FOCUS = 4.0
KEPT, DROPPED = 0.06, 0.1  # shares of samples told to keep the picture, and told nothing
KIND_SHARE = {"colour": 0.3, "shape": 0.4, "ground": 0.3}
# Times: logit-normal, moved towards noise as the schedule of 64 tokens is; what is drawn is
# settled there.
TIME_MEAN, TIME_STD = 0.7, 1.1


class Editor(nn.Module):
    """All that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = WorldConditionEncoder(WORDS, width=CONDITION)
        self.network = Step1XNetwork(
            FluxTransformer2DModel(
                in_channels=16,
                attention_head_dim=HEAD_DIM,
                num_attention_heads=HEADS,
                joint_attention_dim=HEADS * HEAD_DIM,
                pooled_projection_dim=POOLED,
                axes_dims_rope=AXES,
                **BLOCKS,
            ),
            Step1XConnector(
                condition_dim=CONDITION,
                num_attention_heads=HEADS,
                attention_head_dim=HEAD_DIM,
                pooled_projection_dim=POOLED,
            ),
        )
        look_in_place(self.network.transformer)
        read_plainly(self.encoder, self.network)

    def forward(self, noisy: Tensor, source: Tensor, glance: Tensor, ids: Tensor, t: Tensor):
        """(B, 64, 16) velocity."""
        return self.network(noisy, source, *self.encoder(glance, ids), t, (GRID, GRID))


@torch.no_grad()
def look_in_place(transformer: FluxTransformer2DModel) -> None:
    """Initial weights that shorten the training: nothing modulated, and heads that look in place.

    Half of each block's heads attend to where they are, which makes copying from the source a
    matter of values alone: their queries and keys have a bias along the rotary pairs fast enough
    to tell 8 places apart.
    """
    fast = [AXES[0] + k for k in range(4)] + [AXES[0] + AXES[1] + k for k in range(4)]
    chosen = torch.tensor([HEAD_DIM * head + k for head in range(HEADS // 2) for k in fast])
    for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
        for projection, norm in (
            (block.attn.to_q, block.attn.norm_q),
            (block.attn.to_k, block.attn.norm_k),
        ):
            projection.bias.zero_()
            projection.bias[chosen] = 2.0
            norm.weight[fast] = 2.0
    for module in transformer.modules():
        parts = {"AdaLayerNormZero": 6, "AdaLayerNormZeroSingle": 3, "AdaLayerNormContinuous": 2}
        count = parts.get(type(module).__name__)
        if count:
            nn.init.zeros_(module.linear.weight)
            nn.init.zeros_(module.linear.bias)
            for gate in range(2, count, 3):  # shift, scale, gate of attention and of the MLP
                module.linear.bias.chunk(count)[gate].fill_(0.5)
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)


@torch.no_grad()
def read_plainly(encoder: WorldConditionEncoder, network: Step1XNetwork) -> None:
    """Initial weights that let an instruction through at once, as loud as the time.

    With the usual ones a word's trace was a twentieth of the time's, and was not found within 1,500
    steps. Encoder, refiner and what embeds their tokens start as identities, the pooled vector and
    its embedding amplify, and one head of each double block looks at the text: along the pairs that
    no place rotates, its queries oppose all keys of pictures.
    """
    connector, transformer = network.connector, network.transformer
    for layer in encoder.blocks.layers:
        nn.init.zeros_(layer.self_attn.out_proj.weight)
        nn.init.zeros_(layer.linear2.weight)
    for block in connector.refiner.token_refiner.refiner_blocks:
        nn.init.zeros_(block.norm_out.linear.weight)
        nn.init.zeros_(block.norm_out.linear.bias)
    for linear in (connector.refiner.proj_in, transformer.context_embedder):
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    nn.init.zeros_(connector.scale_factor)
    embedder = transformer.time_text_embed.text_embedder
    for linear in (connector.global_proj_out, embedder.linear_1, embedder.linear_2):
        nn.init.normal_(linear.weight, std=1.5 / linear.in_features**0.5)
        nn.init.zeros_(linear.bias)
    reader = slice(HEAD_DIM * (HEADS // 2), HEAD_DIM * (HEADS // 2) + AXES[0])
    for block in transformer.transformer_blocks:
        block.attn.to_q.bias[reader] = 2.0
        block.attn.to_k.bias[reader] = -2.0


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


def examples(triples: Triples, latents: Tensor, encoder: WorldConditionEncoder) -> Examples:
    """Everything packed and numbered."""
    focus = 1 + OBJECT_FOCUS * torch.from_numpy(triples.discs).flatten(1).float()
    texts, where = np.unique(triples.instructions, return_inverse=True)
    ids = torch.stack([encoder.word_ids(str(text)) for text in texts])
    kinds = torch.from_numpy(triples.kinds)
    share = torch.tensor([KIND_SHARE[kind] for kind in PHRASINGS])
    return Examples(
        pack(latents),
        glances(triples.frames),
        focus / focus.mean(),
        torch.from_numpy(triples.pairs),
        ids[torch.from_numpy(where.reshape(triples.instructions.shape))],
        (share / torch.bincount(kinds))[kinds],
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
    parser.add_argument("--families", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=6500)
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
    train(model, loss, recipe, args.work / "step1x.pt", label="editor", workers=args.workers)
    vae.to(memory_format=torch.contiguous_format)
    Parts(model.network, vae, model.encoder).save_pretrained(args.out, size_level=64)


if __name__ == "__main__":
    main()
