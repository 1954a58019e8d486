"""What turns images and instructions into conditions; which encoders a folder may hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from data.errors import UserError, unknown

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


def _world() -> type[ConditionEncoder]:
    from methods.backbones.step1x.world_encoder import WorldConditionEncoder

    return WorldConditionEncoder


def _qwen() -> type[ConditionEncoder]:
    from methods.backbones.step1x.qwen import QwenConditionEncoder

    return QwenConditionEncoder


#: Classes that ``condition_encoder/config.json`` may name. Nothing else is ever imported.
ENCODERS = {"WorldConditionEncoder": _world, "QwenConditionEncoder": _qwen}
#: Models of the transformers library, by their ``model_type``.
LIBRARY = {"qwen2_5_vl": "QwenConditionEncoder"}


class ConditionEncoder(Protocol):
    """A vision-language model, or what stands for one; an ``nn.Module`` with frozen weights.

    It is saved into and loaded from a folder whose ``config.json`` names it as ``_class_name``.
    """

    def encode(
        self, images: Sequence[np.ndarray], instructions: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """Embeddings (B, L, D) and mask (B, L) int64, 1 for tokens and 0 for the padding behind.

        ``images``: B arrays (H, W, 3) uint8 at working size; ``instructions``: B texts, "" for the
        unconditional branch. L is always the encoder's largest length, D its width. A row depends
        on its own image and text only, to the bit.
        """

    @classmethod
    def from_pretrained(cls, folder: Path, torch_dtype: torch.dtype) -> ConditionEncoder:
        """Load from a folder, safetensors only, nothing from the network."""

    def save_pretrained(self, folder: Path) -> None:
        """Write what :meth:`from_pretrained` reads."""


def load_encoder(folder: Path, dtype: torch.dtype) -> ConditionEncoder:
    """The encoder of a ``condition_encoder`` folder; :class:`UserError` for an unknown class."""
    config = json.loads((folder / "config.json").read_text())
    name = config.get("_class_name") or LIBRARY.get(config.get("model_type", ""), "")
    if name not in ENCODERS:
        raise UserError(
            f"{folder / 'config.json'}: {unknown('condition encoder', name, sorted(ENCODERS))}"
        )
    return ENCODERS[name]().from_pretrained(folder, torch_dtype=dtype)
