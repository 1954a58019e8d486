"""RAFT (Teed and Deng 2020) as torchvision publishes it."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from metrics.nets.files import Extractor, TorchFile

if TYPE_CHECKING:
    from torch import nn

EXTRACTOR = Extractor(
    "raft-large",
    (TorchFile("https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth"),),
    21,
    "BSD-3",
)
SMALLEST = 128  # pixels: its correlation pyramid has four levels over an eighth of the frame
_UPDATES = 20


@cache
def raft() -> nn.Module:
    """RAFT large with the weights C_T_SKHT_V2, loaded once. Raises MissingExtractor."""
    (path,) = EXTRACTOR.paths()
    import torch
    from torchvision.models.optical_flow import raft_large

    with torch.random.fork_rng(devices=[]):
        model = raft_large(weights=None)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval().requires_grad_(False)


def flow_between(
    model: nn.Module, frames: np.ndarray, updates: int = _UPDATES
) -> tuple[np.ndarray, np.ndarray]:
    """Forward and backward flow, (N - 1, H, W, 2) pixels, of (N, H, W, 3) uint8 frames.

    Frames go in as RGB in [-1, 1], their sides filled up to multiples of eight with the border.
    """
    import torch
    from torch.nn import functional as F

    height, width = frames.shape[1:3]
    pixels = torch.tensor(frames).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
    below, right = -height % 8, -width % 8
    pixels = F.pad(pixels, (right // 2, right - right // 2, below // 2, below - below // 2),
                   mode="replicate")  # fmt: skip

    def flow(start: torch.Tensor, end: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            found = model(start[None], end[None], num_flow_updates=updates)[-1][0]
        inner = found[:, below // 2 :, right // 2 :][:, :height, :width]
        return inner.permute(1, 2, 0).numpy()

    pairs = list(pairwise(pixels))
    return np.stack([flow(a, b) for a, b in pairs]), np.stack([flow(b, a) for a, b in pairs])
