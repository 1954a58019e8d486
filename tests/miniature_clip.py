"""A random-weight miniature of the embedded CLIP, saved in its layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from open_clip import CLIP
from safetensors.torch import save_file

from tests.miniature import MAX_LENGTH, make_tokenizer


def save_miniature_clip(folder: Path, seed: int = 0) -> Path:
    """Write the miniature with weights drawn from ``seed`` and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
        "text_cfg": {
            "context_length": MAX_LENGTH,
            "vocab_size": len(tokenizer),
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        model = CLIP(**config)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "model.safetensors",
    )
    preprocess = {"size": 64, "mean": [0.5, 0.4, 0.3], "std": [0.5, 0.6, 0.7]}
    (folder / "config.json").write_text(json.dumps(config | {"preprocess_cfg": preprocess}))
    tokenizer.save_pretrained(folder)
    return folder
