"""A Stable-Diffusion-shaped backbone made of a recording's network and text embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from methods.backbones.stable_diffusion import StableDiffusion
from tests.parity.recording import CannotRun, Recording


@dataclass(eq=False)
class RecordedBackbone(StableDiffusion):
    """A backbone whose text embeddings are recorded ones, by prompt."""

    recorded: dict[str, Tensor] = field(default_factory=dict)

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """(B, L, C) of the recorded prompts."""
        return torch.stack([self.recorded[prompt] for prompt in prompts])


def recorded_backbone(
    recording: Recording, embeddings: dict[str, Tensor], max_samples: int
) -> RecordedBackbone:
    """The network and schedule of the recording's settings, on the CPU.

    ``max_samples``: the size of the original's network calls. Other sizes round differently, and a
    token whose two best matches lie 1e-7 apart may then go to the other.
    """
    return RecordedBackbone(
        unet=_network(_folder(recording.path.parent, recording.setting("unet")), recording.dtype),
        scheduler=_scheduler(recording.setting("scheduler")),
        recorded=embeddings,
        max_samples=max_samples,
    )


def _folder(beside: Path, name: str) -> Path:
    """The network's folder beside the manifest or, where sets share one, in another set."""
    for folder in (beside / name, *sorted(beside.parent.glob(f"*/{name}"))):
        if (folder / "config.json").is_file():
            return folder
    raise CannotRun(f"the network '{name}' is neither in {beside} nor in another set")


@lru_cache(maxsize=2)
def _network(folder: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    network = UNet2DConditionModel.from_pretrained(folder, torch_dtype=dtype)
    return network.eval().requires_grad_(False)


def _scheduler(settings: dict[str, Any]) -> DDIMScheduler:
    if settings.get("cls") != "DDIMScheduler" or settings.get("eta"):
        raise CannotRun(f"scheduler {settings.get('cls')} with eta {settings.get('eta')}")
    return DDIMScheduler(**{k: v for k, v in settings.items() if k not in ("cls", "eta")})
