"""Step1X-Edit's folder and backbone: known without torch, saved, loaded in several ways, used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import Missing, UserError
from experiments.catalogue import project_catalogue
from experiments.code_digest import modules_used
from experiments.planner import modules_of
from methods.backbones.families import all_names, describe, load, promise
from methods.backbones.fetch import fetch
from methods.backbones.step1x import info as step1x_info
from methods.backbones.step1x.connector import SCALE
from methods.registry import get_method
from tests.step1x_miniature import save_step1x_miniature


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_step1x_miniature(tmp_path_factory.mktemp("step1x") / "miniature")


def frames(n: int = 1, side: int = 64) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def velocity(backbone, images: np.ndarray, instruction: str) -> torch.Tensor:
    latents = backbone.encode(images)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    conditions = backbone.conditions(images, [instruction] * len(images))
    return backbone.predict(noise, latents, conditions, 0.7)


def test_declared_backbones_plan_without_weights(monkeypatch, tmp_path: Path) -> None:
    assert {"step1x", "step1x-random", "world-step1x", "world-tiny", "sd15"} <= set(all_names())
    monkeypatch.setattr(step1x_info, "ROOT", tmp_path)
    with pytest.raises(Missing) as error:
        describe("step1x+fp8")
    message = str(error.value)
    assert "step1x-edit-i1258.safetensors" in message and "models/weights/step1x" in message
    assert "Qwen2.5-VL-7B-Instruct" in message and message.endswith(".") and "\n" not in message
    assert promise("step1x").prediction_type == describe("step1x-random").prediction_type == "flow"
    with pytest.raises(Missing, match="restore models/world-step1x"):
        describe("world-step1x")


def test_unknown_ways_and_names_are_refused_with_the_nearest(folder: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'offload'"):
        describe(f"{folder}+offlod")
    with pytest.raises(UserError, match="Did you mean 'step1x'"):
        describe("step1")


def test_digest_follows_content_and_the_way_of_loading(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    original = describe(str(folder))
    assert original.size_level == 64 and describe(str(copied)).digest == original.digest
    (copied / "README.md").write_text("a card")
    (copied / "evaluation.json").write_text("{}")
    assert describe(str(copied)).digest == original.digest
    config = copied / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"shift_factor": 0.2}))
    digests = {describe(str(copied)).digest, describe(f"{folder}+fp8").digest, original.digest}
    assert len(digests) == 3


def test_an_incomplete_folder_names_what_it_lacks(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    shutil.rmtree(copied / "connector")
    (copied / "transformer" / "diffusion_pytorch_model.safetensors").rename(copied / "weights.bin")
    with pytest.raises(UserError) as error:
        describe(str(copied))
    assert "lacks connector/config.json, transformer/*.safetensors, connector/*" in str(error.value)


def test_another_schedule_is_refused(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = copied / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_shift": 1.16}))
    with pytest.raises(UserError, match=r"max_shift 1\.16; the methods plan with 1\.15"):
        describe(str(copied))


def test_fetching_asks_two_hubs_for_the_released_files_alone(monkeypatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked = {}

    def download(repository: str, local_dir: Path, allow_patterns: list[str]) -> None:
        asked[repository] = (local_dir.relative_to(tmp_path).as_posix(), allow_patterns)

    monkeypatch.setattr(step1x_info, "ROOT", tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(Missing):  # nothing has arrived
        fetch("step1x")
    assert asked["stepfun-ai/Step1X-Edit"][1] == [
        "step1x-edit-i1258.safetensors",
        "vae.safetensors",
    ]
    encoder, patterns = asked["Qwen/Qwen2.5-VL-7B-Instruct"]
    assert encoder == "models/weights/step1x/Qwen2.5-VL-7B-Instruct" and "*.bin" not in patterns
    with pytest.raises(UserError, match="nothing to fetch"):
        fetch("world-step1x")


def test_the_code_digest_follows_every_encoder(folder: Path) -> None:
    """What an encoder is loaded by must not hide it from the ids of cells."""
    used = modules_used(modules_of(get_method("step1x-edit"), project_catalogue()))
    package = "methods.backbones.step1x"
    assert {f"{package}.{x}" for x in ("world_encoder", "qwen", "network", "official")} <= set(used)
    used = modules_used(modules_of(get_method("pnp"), project_catalogue()))
    assert not [name for name in used if name.startswith(package)]


def test_what_was_saved_is_loaded_whatever_the_way(folder: Path) -> None:
    """Offloaded weights give the same bits; those stored in 8 bits nearly the same numbers."""
    image = frames()
    plain, offloaded, fp8 = (load(f"{folder}{way}") for way in ("", "+offload", "+fp8"))
    expected = velocity(plain, image, "make the circle red")
    assert expected.shape == (1, 64, 16) and plain.network.connector.scale_factor.item() == (
        pytest.approx(SCALE)
    )
    assert torch.equal(velocity(load(str(folder)), image, "make the circle red"), expected)
    assert torch.equal(velocity(offloaded, image, "make the circle red"), expected)
    stored = fp8.network.transformer.transformer_blocks[0].attn.to_q.weight
    assert stored.dtype == torch.float8_e4m3fn
    near = velocity(fp8, image, "make the circle red")
    assert not torch.equal(near, expected)
    assert (near - expected).norm() < 0.2 * expected.norm()


def test_each_condition_is_encoded_once_and_knows_no_company(folder: Path) -> None:
    backbone, calls = load(str(folder)), []
    encode = backbone.encoder.encode
    backbone.encoder.encode = lambda images, texts: calls.append(texts) or encode(images, texts)
    images = frames(2)
    pair = backbone.conditions(images, ["make the circle red", ""])
    assert calls == [["make the circle red"], [""]]
    again = backbone.conditions(images[1:], [""])
    assert len(calls) == 2 and torch.equal(again.tokens, pair.tokens[1:])
    backbone.conditions(images[:1], [""])
    assert len(calls) == 3


def test_source_latents_are_the_mean_or_sampled_by_given_noise(folder: Path) -> None:
    backbone, image = load(str(folder)), frames(2)
    shape = backbone.latent_shape(image)
    mean = backbone.encode(image)
    assert mean.shape == (2, *shape) == (2, 4, 16, 16)
    assert torch.equal(backbone.encode(image, torch.zeros(shape)), mean)
    sampled = backbone.encode(image, torch.ones(shape))
    assert (sampled > mean).all()
    assert torch.equal(backbone.encode(image[1:]), mean[1:])


def test_latents_decode_to_frames(folder: Path) -> None:
    backbone = load(str(folder))
    decoded = backbone.decode(backbone.encode(frames(2)))
    assert decoded.shape == (2, 64, 64, 3) and decoded.dtype == np.uint8
    with pytest.raises(FloatingPointError):
        backbone.decode(torch.full((1, 4, 16, 16), float("nan")))


def test_warming_up_leaves_no_condition(folder: Path) -> None:
    backbone = load(str(folder))
    backbone.warm_up(frames(3))
    assert not backbone.kept and backbone.evaluations == 2


def test_an_encoder_that_is_not_ours_is_never_imported(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = copied / "condition_encoder" / "config.json"
    config.write_text(json.dumps({"_class_name": "os.system"}))
    with pytest.raises(UserError, match=r"config\.json: unknown condition encoder 'os\.system'"):
        load(str(copied))
