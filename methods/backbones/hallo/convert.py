"""Bring the released files into a Hallo folder: ``python -m methods.backbones.hallo.convert``.

They are fetched from the hub's ``fudan-generative-ai/hallo``, or taken from a copy of it. The
networks' names are the checkpoint's own, so nothing is renamed; sizes follow from the shapes.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Size, Tensor

from data.errors import UserError
from methods.backbones.hallo.config import HalloConfig
from methods.backbones.hallo.family import HUB, RELEASED
from methods.backbones.hallo.folder import empty_net, fill, save_net

#: Where the hub's copy has it: where a folder of ours has it.
BESIDE = {
    "sd-vae-ft-mse/config.json": "vae/config.json",
    "sd-vae-ft-mse/diffusion_pytorch_model.safetensors": "vae/diffusion_pytorch_model.safetensors",
    "wav2vec/wav2vec2-base-960h/config.json": "audio/config.json",
    "wav2vec/wav2vec2-base-960h/model.safetensors": "audio/model.safetensors",
    "face_analysis/models/": "face/models",
}
CHECKPOINT = "hallo/net.pth"


def config_of(
    shapes: Mapping[str, Size | Sequence[int]],
    *,
    attention_heads: int = 8,
    motion_heads: int = 8,
    norm_num_groups: int = 32,
    audio_window: int = 5,
    audio_layers: int = 12,
) -> HalloConfig:
    """Sizes of a checkpoint; heads, groups and what a frame hears do not show in its shapes."""
    down = "denoising_unet.down_blocks."
    levels = _count(shapes, down)
    face_width, face_dim = shapes["imageproj.proj.weight"]
    (width,), (audio_dim,) = shapes["imageproj.norm.weight"], shapes["audioproj.norm.weight"]
    hidden, heard = shapes["audioproj.proj1.weight"]
    positions = f"{down}0.motion_modules.0.temporal_transformer.transformer_blocks.0."
    strided = range(1, _count(shapes, "face_locator.blocks."), 2)
    return HalloConfig(
        latent_channels=shapes["denoising_unet.conv_in.weight"][1],
        block_out_channels=tuple(
            shapes[f"{down}{level}.resnets.0.conv2.weight"][0] for level in range(levels)
        ),
        layers_per_block=_count(shapes, f"{down}0.resnets."),
        attention_heads=attention_heads,
        norm_num_groups=norm_num_groups,
        cross_attention_dim=width,
        motion_heads=motion_heads,
        motion_length=shapes[f"{positions}attention_blocks.0.pos_encoder.pe"][1],
        face_dim=face_dim,
        face_tokens=face_width // width,
        audio_window=audio_window,
        audio_layers=audio_layers,
        audio_features=heard // audio_window // audio_layers,
        audio_hidden=hidden,
        audio_tokens=shapes["audioproj.proj3.weight"][0] // audio_dim,
        audio_dim=audio_dim,
        locator_channels=(
            shapes["face_locator.conv_in.weight"][0],
            *(shapes[f"face_locator.blocks.{i}.weight"][0] for i in strided),
        ),
    )


def _count(shapes: Mapping[str, object], prefix: str) -> int:
    """How many numbered modules there are under a prefix."""
    return len({key.removeprefix(prefix).split(".")[0] for key in shapes if key.startswith(prefix)})


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of ``net.pth``, and nothing else unpickled; :class:`UserError` if it is not."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{path} cannot be read as a checkpoint of tensors: {error}") from error
    if not isinstance(content, dict) or "imageproj.proj.weight" not in content:
        raise UserError(f"{path} is not Hallo's net.pth: it has no 'imageproj.proj.weight'.")
    return content


def convert(source: Path, folder: Path) -> None:
    """Make a Hallo folder of a copy of the hub's; :class:`UserError` for what is missing or wrong.

    The folder appears when it is whole.
    """
    absent = [name for name in (CHECKPOINT, *BESIDE) if not (source / name).exists()]
    if absent:
        raise UserError(f"{source} lacks {', '.join(absent)} of {HUB}.")
    weights = read_checkpoint(source / CHECKPOINT)
    net = empty_net(config_of({name: tensor.shape for name, tensor in weights.items()}))
    fill(net, weights, source / CHECKPOINT)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    save_net(net, part)
    for name, ours in BESIDE.items():
        (part / ours).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        copy(source / name, part / ours)
    (part / "face" / "config.json").write_text(json.dumps({"kind": "detectors"}) + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)


def fetch() -> Path:
    """Download what is needed; :class:`UserError` while offline."""
    from huggingface_hub import snapshot_download

    wanted = [CHECKPOINT, *(f"{name}*" for name in BESIDE)]
    try:
        return Path(snapshot_download(HUB, allow_patterns=wanted))
    except OSError as error:
        raise UserError(f"could not fetch {HUB}: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    """Command line: where a copy of the hub's files lies, and where the folder is to be made."""
    parser = argparse.ArgumentParser(
        prog="python -m methods.backbones.hallo.convert", description=__doc__
    )
    parser.add_argument("--source", type=Path, help=f"a copy of {HUB}; fetched if not given")
    parser.add_argument("--folder", type=Path, default=RELEASED)
    given = parser.parse_args(arguments)
    try:
        convert(given.source or fetch(), given.folder)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(given.folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
