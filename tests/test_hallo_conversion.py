"""Official files to a folder of ours: strictly, by the checkpoint's own names."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import Wav2Vec2Config, Wav2Vec2Model

from data.errors import UserError
from methods.backbones.hallo.backbone import Hallo
from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.convert import CHECKPOINT, config_of, convert, main
from methods.backbones.hallo.folder import CONFIG, WEIGHTS, load_net, save_net
from tests.hallo_miniature import CONFIG as SMALL
from tests.hallo_miniature import VAE, make_net

#: With the heads, groups and layers of sound that the release has and shapes do not show.
OFFICIAL = replace(
    SMALL,
    sample_size=64,
    block_out_channels=(32, 32, 32, 64),
    attention_heads=8,
    motion_heads=8,
    norm_num_groups=32,
    audio_layers=12,
    audio_features=8,
)
HEARING = Wav2Vec2Config(
    hidden_size=8,
    num_hidden_layers=12,
    num_attention_heads=2,
    intermediate_size=8,
    conv_dim=(4,) * 7,
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A copy of the hub's folder, small."""
    hub = tmp_path / "hub"
    (hub / "hallo").mkdir(parents=True)
    torch.save(make_net(config=OFFICIAL).half().state_dict(), hub / CHECKPOINT)
    AutoencoderKL(**VAE).save_pretrained(hub / "sd-vae-ft-mse")
    Wav2Vec2Model(HEARING).save_pretrained(hub / "wav2vec" / "wav2vec2-base-960h")
    (hub / "face_analysis" / "models").mkdir(parents=True)
    (hub / "face_analysis" / "models" / "glintr100.onnx").write_bytes(b"onnx")
    return hub


def test_a_converted_folder_holds_the_checkpoint_and_loads(hub: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "hallo"
    assert main(["--source", str(hub), "--folder", str(folder)]) == 0
    assert HalloConfig.read(folder / CONFIG) == OFFICIAL
    recorded = torch.load(hub / CHECKPOINT, weights_only=True)
    ours = load_net(folder).state_dict()
    assert ours.keys() == recorded.keys()
    assert all(torch.equal(ours[name], recorded[name]) for name in ours)
    assert (folder / "face" / "models" / "glintr100.onnx").read_bytes() == b"onnx"
    loaded = Hallo.from_folder(folder, "cpu", "float32")
    heard = loaded.extractor(torch.zeros(1280).short().numpy() + 1, 2)
    assert heard.shape == (2, 12, 8)
    assert not list(folder.parent.glob("*.part"))


def test_sizes_follow_from_shapes() -> None:
    shapes = {name: tensor.shape for name, tensor in make_net().state_dict().items()}
    unseen = {"attention_heads": 2, "motion_heads": 2, "norm_num_groups": 4, "audio_layers": 1}
    assert config_of(shapes, **unseen) == replace(SMALL, sample_size=64)


def test_a_net_survives_its_folder(tmp_path: Path) -> None:
    net = make_net(seed=3)
    save_net(net, tmp_path)
    again = load_net(tmp_path).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in net.state_dict().items())


def test_a_missing_or_foreign_weight_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_net(make_net(), tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    weights["audioproj.extra"] = weights.pop("audioproj.proj1.weight")
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match=r"audioproj.proj1.weight.*audioproj.extra"):
        load_net(tmp_path)
    (tmp_path / CONFIG).write_text('{"face_dims": 4}')
    with pytest.raises(UserError, match=r"unknown key 'face_dims'\. Did you mean 'face_dim'"):
        load_net(tmp_path)


class Harm:
    """A pickle that would run code."""

    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


def test_a_checkpoint_cannot_run_code(hub: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"imageproj.proj.weight": Harm()}, hub / CHECKPOINT)
    with pytest.raises(UserError, match="cannot be read as a checkpoint of tensors"):
        convert(hub, tmp_path / "out")
    (hub / CHECKPOINT).write_bytes(pickle.dumps(Harm()))
    with pytest.raises(UserError, match="cannot be read as a checkpoint of tensors"):
        convert(hub, tmp_path / "out")
    assert not (tmp_path / "harm").exists() and not (tmp_path / "out").exists()


def test_what_the_copy_lacks_is_named_and_nothing_is_left(
    hub: Path, tmp_path: Path, capsys
) -> None:
    (hub / "sd-vae-ft-mse" / "config.json").unlink()
    assert main(["--source", str(hub), "--folder", str(tmp_path / "out")]) == 1
    assert "lacks sd-vae-ft-mse/config.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_fetching_takes_what_is_needed_and_nothing_else(hub: Path, tmp_path, monkeypatch) -> None:
    import fnmatch

    import huggingface_hub

    asked = {}
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, allow_patterns: asked.update(name=name, wanted=allow_patterns) or str(hub),
    )
    assert main(["--folder", str(tmp_path / "out")]) == 0
    assert asked["name"] == "fudan-generative-ai/hallo"
    files = [path.relative_to(hub).as_posix() for path in hub.rglob("*") if path.is_file()]
    used = [f for f in files if any(fnmatch.fnmatch(f, pattern) for pattern in asked["wanted"])]
    assert sorted(used) == sorted(files)
    others = ("stable-diffusion-v1-5/unet/config.json", "audio_separator/Kim_Vocal_2.onnx")
    assert not any(fnmatch.fnmatch(f, p) for f in others for p in asked["wanted"])
