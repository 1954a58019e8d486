"""Backbones: located without torch, digested by content, loaded through one code path."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from data.errors import UserError
from methods.backbones import backbone_names, get_backbone_info, load_backbone, locate
from methods.backbones import fetch as fetch_module
from tests.miniature import MAX_LENGTH


@pytest.fixture
def copied(miniature_backbone: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(miniature_backbone, tmp_path / "copy"))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_declared_backbones() -> None:
    assert {"world-tiny", "sd15", "sd21"} <= set(backbone_names())


def test_info_describes_the_folder(miniature_backbone: str) -> None:
    info = get_backbone_info(miniature_backbone)
    assert (info.prediction_type, info.num_train_timesteps) == ("epsilon", 1000)
    assert (info.sample_size, info.frame_multiple) == (16, 4)
    assert info.timesteps(50)[:2] == [981, 961]
    assert info.path == Path(miniature_backbone) and len(info.digest) == 64


def test_digest_follows_content_and_nothing_else(miniature_backbone: str, copied: Path) -> None:
    original = get_backbone_info(miniature_backbone).digest
    assert get_backbone_info(str(copied)).digest == original
    edit_json(copied / "unet/config.json", _diffusers_version="9.9", _name_or_path="elsewhere")
    (copied / "README.md").write_text("notes")
    assert get_backbone_info(str(copied)).digest == original
    weights = copied / "unet/diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = get_backbone_info(str(copied)).digest
    edit_json(copied / "vae/config.json", scaling_factor=0.5)
    assert len({original, changed, get_backbone_info(str(copied)).digest}) == 3


def test_missing_weights_say_in_a_sentence_what_to_do(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(locate, "ROOT", tmp_path)
    with pytest.raises(UserError) as error:
        get_backbone_info("sd15")
    message = str(error.value)
    assert "make weights BACKBONE=sd15" in message and "models/weights/sd15" in message
    assert message.count("\n") == 0 and message.endswith(".")


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'sd15'"):
        get_backbone_info("sd-15")


def test_incomplete_folder_names_what_it_lacks(copied: Path) -> None:
    (copied / "vae/diffusion_pytorch_model.safetensors").rename(copied / "vae/weights.bin")
    with pytest.raises(UserError, match=r"lacks vae/diffusion_pytorch_model\.safetensors"):
        get_backbone_info(str(copied))


def test_other_schedules_are_refused(copied: Path) -> None:
    edit_json(copied / "scheduler/scheduler_config.json", steps_offset=0)
    with pytest.raises(UserError, match="steps_offset 0"):
        get_backbone_info(str(copied))


def test_a_pipeline_saved_by_diffusers_loads_back(miniature, tmp_path: Path) -> None:
    """The way SD 1.5 reaches a local folder: StableDiffusionPipeline.save_pretrained."""
    StableDiffusionPipeline(
        vae=miniature.vae,
        text_encoder=miniature.text_encoder,
        tokenizer=miniature.tokenizer,
        unet=miniature.unet,
        scheduler=miniature.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(tmp_path / "pipeline")
    loaded = load_backbone(str(tmp_path / "pipeline"))
    text = loaded.embed(["a red disc on grass"])
    assert torch.equal(text, miniature.embed(["a red disc on grass"]))
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    pair = text.repeat(2, 1, 1)
    assert torch.equal(loaded.predict(latents, 501, pair), miniature.predict(latents, 501, pair))


def test_sampling_equals_the_diffusers_pipeline(miniature) -> None:
    """Text to latents by the library's own pipeline and by ours, from the same noise."""
    from methods.ddim import STABLE_DIFFUSION
    from methods.sampling import guided_step

    pipeline = StableDiffusionPipeline(
        vae=miniature.vae,
        text_encoder=miniature.text_encoder,
        tokenizer=miniature.tokenizer,
        unet=miniature.unet,
        scheduler=miniature.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = pipeline(
        "a red disc",
        negative_prompt="blurry",
        num_inference_steps=5,
        guidance_scale=5.0,
        latents=noise,
        height=64,
        width=64,
        output_type="latent",
    ).images
    x, text = noise, miniature.embed(["blurry", "a red disc"])
    for t in STABLE_DIFFUSION.timesteps(5):
        x = guided_step(miniature, x, text, t, STABLE_DIFFUSION.previous(t, 5), 5.0)
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-4)


def test_encode_and_decode_have_the_documented_shapes(miniature) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (18, 64, 48, 3), dtype=np.uint8)
    latents = miniature.encode(frames)
    assert latents.shape == (18, 4, 16, 12) and latents.dtype == torch.float32
    decoded = miniature.decode(latents)
    assert decoded.shape == frames.shape and decoded.dtype == np.uint8


def test_memory_layout_does_not_reach_the_bits() -> None:
    """Kernels round differently by layout; latents from the store have another than computed."""
    backbone = load_backbone("world-tiny")
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    latents, text = backbone.encode(frames), backbone.embed(["a"] * 3)
    assert latents.is_contiguous()
    other = latents.contiguous(memory_format=torch.channels_last)
    noise = backbone.predict(latents, 501, text)
    assert noise.is_contiguous() and torch.equal(backbone.predict(other, 501, text), noise)
    assert np.array_equal(backbone.decode(other), backbone.decode(latents))
    turned = np.asfortranarray(frames)
    assert torch.equal(backbone.encode(turned), latents)


def test_encoding_takes_the_posteriors_mean(miniature) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    pixels = torch.tensor(frames / 127.5 - 1, dtype=torch.float32).movedim(-1, 1)
    mean = miniature.vae.encode(pixels).latent_dist.mean
    torch.testing.assert_close(miniature.encode(frames), mean * 0.9, rtol=1e-4, atol=1e-5)


def test_frames_that_do_not_fit_are_refused(miniature) -> None:
    with pytest.raises(UserError, match="multiples of 4"):
        miniature.encode(np.zeros((1, 62, 64, 3), dtype=np.uint8))


def test_nan_latents_never_become_frames(miniature) -> None:
    with pytest.raises(FloatingPointError, match="NaN"):
        miniature.decode(torch.full((1, 4, 16, 16), torch.nan))


def test_an_embedding_does_not_depend_on_its_company(miniature) -> None:
    long = "ugly, blurry, black, low res, unrealistic " * 9
    text = miniature.embed(["", long, "a red disc"])
    assert text.shape[:2] == (3, MAX_LENGTH)
    assert torch.equal(text[2:], miniature.embed(["a red disc"]))


def test_predictions_of_velocity_are_turned_into_noise(miniature_backbone, copied: Path) -> None:
    edit_json(copied / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    plain, velocity = load_backbone(miniature_backbone), load_backbone(str(copied))
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    text = plain.embed(["a"])
    v = plain.predict(latents, 300, text)
    alpha = plain.alpha(300)
    expected = plain.scheduler.get_velocity  # the library goes the other way: noise to velocity
    noise = velocity.predict(latents, 300, text)
    clean = alpha**0.5 * latents - (1 - alpha) ** 0.5 * v
    torch.testing.assert_close(expected(clean, noise, torch.tensor([300])), v, rtol=1e-4, atol=1e-4)


def test_half_precision_keeps_latents_in_float32(miniature_backbone: str) -> None:
    backbone = load_backbone(miniature_backbone, dtype="bfloat16")
    latents = torch.zeros(1, 4, 16, 16)
    assert backbone.unet.dtype == torch.bfloat16
    assert backbone.predict(latents, 1, backbone.embed(["a"])).dtype == torch.float32


def test_fetching_uses_the_hubs_downloader(monkeypatch, miniature_backbone, tmp_path) -> None:
    """A stand-in for the network: the call's arguments, and the folder checked afterwards."""
    monkeypatch.setattr(locate, "ROOT", tmp_path)
    seen = {}

    def download(repository: str, local_dir: Path, allow_patterns: list[str]) -> None:
        seen.update(repository=repository, patterns=allow_patterns)
        shutil.copytree(miniature_backbone, local_dir)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert fetch_module.main(["sd15"]) == 0
    assert seen["repository"].endswith("stable-diffusion-v1-5")
    assert not any("*.safetensors" in pattern for pattern in seen["patterns"])
    assert get_backbone_info("sd15").path == tmp_path / "models/weights/sd15"


def test_fetching_what_comes_with_the_repository_says_so(capsys) -> None:
    assert fetch_module.main(["world-tiny"]) == 1
    assert "nothing to fetch" in capsys.readouterr().err
