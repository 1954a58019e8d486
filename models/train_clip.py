"""Train the embedded CLIP: an open_clip model with a small ResNet tower and a word tokenizer."""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path

import torch
from open_clip import CLIP
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTokenizer

from data.world.vocabulary import COLOURS, GROUNDS, SHAPES, STYLES
from models.tokenizer import MAX_LENGTH, build_tokenizer
from models.train_unet import token_ids
from models.training import Recipe, generator, train
from models.world_images import to_tensor, world_images

ATTRIBUTES = (tuple(COLOURS), SHAPES, GROUNDS, STYLES)
SUBSETS = [kept for n in range(1, 5) for kept in combinations(ATTRIBUTES, n)]  # the last is all
WHOLE = 0.4  # share of batches with whole captions, besides those drawn with the other subsets


def config(vocab_size: int) -> dict[str, object]:
    """The open_clip model configuration."""
    return {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 24, "head_width": 64},
        "text_cfg": {
            "context_length": MAX_LENGTH,
            "vocab_size": vocab_size,
            "width": 128,
            "heads": 4,
            "layers": 2,
        },
    }


def read_partly(
    tokenizer: CLIPTokenizer, captions: list[str], kept: tuple[tuple[str, ...], ...]
) -> tuple[Tensor, Tensor]:
    """(N, L) token ids of captions reduced to some kinds of words, and (N,) labels of the results.

    Asked for a shape alone, the picture tower cannot answer with a combination it remembers: that
    is what makes it read combinations it never saw.
    """
    dropped = {word for words in ATTRIBUTES if words not in kept for word in words}
    reduced = [" ".join(word for word in c.split() if word not in dropped) for c in captions]
    unique = {caption: index for index, caption in enumerate(dict.fromkeys(reduced))}
    label = torch.tensor([unique[caption] for caption in reduced])
    return token_ids(tokenizer, list(unique))[label], label


def recolour(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """(N, 3, H, W) pictures in [-1, 1], each with channels mixed its own way.

    For captions that name neither colours nor grounds: a shape is to be read from its outline.
    """
    mix = torch.rand(len(pictures), 3, 3, generator=rng)
    return torch.einsum("nij,njhw->nihw", mix / mix.sum(2, keepdim=True), pictures)


def group(captions: list[str]) -> list[Tensor]:
    """Indices of pictures whose captions share two of colour, shape and ground.

    Two-object captions join by what their first object and ground are.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for index, caption in enumerate(captions):
        words = caption.split()
        colour = next(word for word in words if word in COLOURS)
        shape = next(word for word in words if word in SHAPES)
        for pair in ((colour, words[-1]), (shape, words[-1]), (colour, shape)):
            members.setdefault(pair, []).append(index)
    return [torch.tensor(members[pair]) for pair in sorted(members)]


def alike(groups: list[Tensor], count: int, rng: torch.Generator, size: int = 8) -> Tensor:
    """(count,) indices in runs of ``size`` from one group: negatives that differ by a word."""
    picked = []
    for which in torch.randint(len(groups), (-(-count // size),), generator=rng).tolist():
        group = groups[which]
        picked.append(group[torch.randint(len(group), (size,), generator=rng)])
    return torch.cat(picked)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/world-clip"))
    parser.add_argument("--work", type=Path, default=Path("build/models"))
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pictures", type=int, default=16000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)
    frames, captions = world_images(args.pictures, args.seed, cache=args.work / "pictures.npz")
    # A frame shows no motion, so the words for it carry nothing to learn here.
    captions = [
        " ".join(w for w in c.split() if w not in ("moving", "left", "right", "up", "down"))
        for c in captions
    ]
    tokenizer = build_tokenizer()
    readings = [read_partly(tokenizer, captions, kept) for kept in SUBSETS]
    groups = group(captions)
    settings = config(len(tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(args.seed).get_state())
        model = CLIP(**settings)

    def loss(replica: nn.Module, step: int, worker: int, workers: int) -> Tensor:
        rng = generator(args.seed, step, worker)
        index = alike(groups, args.batch // workers, rng)
        subset = int(torch.randint(len(SUBSETS), (), generator=rng))
        if torch.rand((), generator=rng) < WHOLE:
            subset = len(SUBSETS) - 1
        ids, label = readings[subset]
        picture = to_tensor(frames[index.numpy()])
        if not {tuple(COLOURS), GROUNDS} & set(SUBSETS[subset]):
            picture = recolour(picture, rng)
        # Blur, noise and contrast as decoders and samplers leave them, so that scores of edited
        # frames measure what they show and not how they were made.
        if torch.rand((), generator=rng) < 0.5:
            picture = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, 1)
        scale = 0.06 * torch.rand(len(index), 1, 1, 1, generator=rng)
        picture = picture + scale * torch.randn(picture.shape, generator=rng)
        picture = picture * (0.85 + 0.3 * torch.rand(len(index), 1, 1, 1, generator=rng))
        image = F.normalize(replica.encode_image(picture), dim=-1)
        text = F.normalize(replica.encode_text(ids[index]), dim=-1)
        logits = replica.logit_scale.clamp(max=4.6).exp() * image @ text.T
        same = (label[index][:, None] == label[index][None]).float()
        same = same / same.sum(1, keepdim=True)  # equal captions are all right answers
        return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2

    recipe = Recipe(
        steps=args.steps, learning_rate=1.5e-3, ema=0.998, warmup=200, weight_decay=0.05
    )
    model = train(model, loss, recipe, args.work / "clip.pt", label="clip", workers=args.workers)
    args.out.mkdir(parents=True, exist_ok=True)
    settings["preprocess_cfg"] = {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3}
    (args.out / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, args.out / "model.safetensors"
    )
    build_tokenizer().save_pretrained(args.out)  # calls above left their padding in the other


if __name__ == "__main__":
    main()
