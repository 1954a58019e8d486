"""What the planner knows of a backbone without importing torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from methods.backbones.locate import (
    CONFIGS,
    TOKENIZER,
    WEIGHTS,
    backbone_names,
    declaration,
    locate,
)
from methods.ddim import STABLE_DIFFUSION, Schedule

__all__ = ["BackboneInfo", "backbone_names", "get_backbone_info", "promised_backbone"]


@dataclass(frozen=True)
class BackboneInfo:
    """A Stable-Diffusion-shaped backbone: what it is and a digest of all that it computes with."""

    name: str
    title: str
    path: Path
    digest: str  # sha256 over weights, configs and tokenizer
    prediction_type: str  # epsilon or v_prediction
    num_train_timesteps: int
    steps_offset: int
    sample_size: int  # side of the latents it was trained on
    frame_multiple: int  # frames' height and width must be multiples of this

    def timesteps(self, n: int) -> list[int]:
        """The ``n`` DDIM timesteps, noisiest first."""
        return Schedule(self.num_train_timesteps, self.steps_offset).timesteps(n)


@dataclass(frozen=True)
class PromisedBackbone:
    """A declared backbone whose weights are not here: enough to plan with."""

    prediction_type: str
    digest: str = "absent"


def promised_backbone(name: str) -> PromisedBackbone:
    """What is declared of a backbone; :class:`UserError` for a name that is not."""
    return PromisedBackbone(declaration(name).prediction)


def get_backbone_info(name: str) -> BackboneInfo:
    """Describe a declared backbone, a local diffusers folder or a cached hub id.

    Raises :class:`UserError` when its files are absent, incomplete, not safetensors, or its
    schedule is not the one the methods plan with.
    """
    folder = locate(name)
    _complete(name, folder)
    unet, vae, scheduler = (
        json.loads((folder / config).read_text())
        for config in ("unet/config.json", "vae/config.json", "scheduler/scheduler_config.json")
    )
    info = BackboneInfo(
        name=name,
        title=declaration(name).title if name in backbone_names() else name,
        path=folder,
        digest=digest(folder),
        prediction_type=scheduler.get("prediction_type", "epsilon"),
        num_train_timesteps=scheduler.get("num_train_timesteps", 1000),
        steps_offset=scheduler.get("steps_offset", 0),
        sample_size=unet["sample_size"],
        frame_multiple=2 ** (len(vae["block_out_channels"]) - 1),
    )
    given = Schedule(info.num_train_timesteps, info.steps_offset)
    if given != STABLE_DIFFUSION:
        raise UserError(
            f"backbone '{name}' ({folder / CONFIGS[-1]}) has num_train_timesteps "
            f"{given.num_train_timesteps} and steps_offset {given.steps_offset}; the methods plan "
            f"with {STABLE_DIFFUSION.num_train_timesteps} and {STABLE_DIFFUSION.steps_offset}, as "
            "Stable Diffusion has."
        )
    return info


def digest(folder: Path) -> str:
    """sha256 over what a backbone computes with: weights, configs' values, tokenizer files."""
    total = hashlib.sha256()
    tokenizer = sorted(p for p in (folder / TOKENIZER).iterdir() if p.suffix in {".json", ".txt"})
    for path in (*(folder / name for name in (*WEIGHTS, *CONFIGS)), *tokenizer):
        relative = path.relative_to(folder).as_posix()
        if relative in CONFIGS:
            part = hashlib.sha256(_canonical(json.loads(path.read_text()))).digest()
        else:
            with path.open("rb") as file:
                part = hashlib.file_digest(file, "sha256").digest()
        total.update(relative.encode() + b"\0" + part)
    return total.hexdigest()


def _canonical(config: dict[str, Any]) -> bytes:
    # Keys such as _diffusers_version and _name_or_path say who wrote the file, not what it means.
    kept = {key: value for key, value in config.items() if not key.startswith("_")}
    return json.dumps(kept, sort_keys=True).encode()


def _complete(name: str, folder: Path) -> None:
    absent = [file for file in (*WEIGHTS, *CONFIGS) if not (folder / file).exists()]
    if not (folder / TOKENIZER).is_dir():
        absent.append(f"{TOKENIZER}/")
    if absent:
        raise UserError(
            f"backbone '{name}' at {folder} lacks {', '.join(absent)}: a diffusers folder with "
            "these files in safetensors is needed (save_pretrained with safe_serialization)."
        )
