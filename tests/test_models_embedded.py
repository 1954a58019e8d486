"""The committed weights: what they are, and that they still do what their cards say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from methods.backbones.load import load_backbone
from models.evaluate import psnr, retrieval, sampling
from models.world_images import world_images

MODELS = Path(__file__).parent.parent / "models"


def evaluated(folder: str, part: str, name: str) -> dict[str, float]:
    return json.loads((MODELS / folder / "evaluation.json").read_text())[part][name]


def test_the_folder_is_an_ordinary_diffusers_pipeline_with_sd15_module_paths():
    pipe = StableDiffusionPipeline.from_pretrained(MODELS / "world-tiny", local_files_only=True)
    blocks = [
        name for name, _ in pipe.unet.named_modules() if name.endswith("transformer_blocks.0")
    ]
    assert len(blocks) == 16
    assert "mid_block.attentions.0.transformer_blocks.0" in blocks
    assert "up_blocks.3.attentions.2.transformer_blocks.0" in blocks
    with torch.no_grad():
        latents = pipe.vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean
    assert latents.shape == (1, 4, 16, 16)


@pytest.mark.parametrize("path", sorted(MODELS.rglob("*.safetensors")), ids=lambda p: p.parent.name)
def test_weights_are_finite_safetensors(path):
    with safe_open(path, framework="pt") as tensors:
        assert all(torch.isfinite(tensors.get_tensor(name)).all() for name in tensors.keys())  # noqa: SIM118
    assert not list(MODELS.rglob("*.bin")) + list(MODELS.rglob("*.ckpt"))


def test_the_autoencoder_returns_held_out_frames_as_its_card_says():
    frames, _ = world_images(48, seed=2024, unseen=True)
    backbone = load_backbone("world-tiny")
    values = psnr(backbone.decode(backbone.encode(frames)), frames)
    card = evaluated("world-tiny", "reconstruction", "autoencoder PSNR")
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - card["value"]) <= half + card["high"] - card["value"]


def test_clip_retrieves_as_its_card_says():
    found = retrieval(40)["caption picked out of 100"]
    card = evaluated("world-clip", "retrieval", "caption picked out of 100")
    assert found["low"] <= card["value"] <= found["high"]


@pytest.mark.slow
def test_samples_show_what_their_captions_say_as_the_card_says():
    found = sampling(MODELS / "world-tiny", 20, guidance_scale=6.0)["all three"]
    card = evaluated("world-tiny", "sampling", "all three")
    assert found["low"] <= card["value"] <= found["high"]


# The checks above hold the weights to their cards; these hold the cards to their targets.


def test_nine_of_ten_samples_show_the_right_colour_shape_and_ground():
    assert evaluated("world-tiny", "sampling", "all three")["value"] >= 0.9
    assert evaluated("world-tiny", "sampling", "all three")["n"] >= 200


def test_the_autoencoder_reaches_thirty_decibels():
    assert evaluated("world-tiny", "reconstruction", "autoencoder PSNR")["value"] >= 30


def test_inversion_loses_less_than_three_decibels():
    assert evaluated("world-tiny", "reconstruction", "lost by inversion")["high"] <= 3


def test_clip_picks_the_right_one_of_a_hundred_captions():
    card = evaluated("world-clip", "retrieval", "caption picked out of 100")
    assert card["value"] >= 0.95 and card["n"] >= 200
