"""The I3D of FVD: Kinetics-400 logits of the TorchScript file that StyleGAN-V's FVD goes by."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from metrics.nets.files import Extractor, HubFile

if TYPE_CHECKING:
    import torch

EXTRACTOR = Extractor(
    "i3d",
    (
        HubFile(
            "flateon/FVD-I3D-torchscript",
            "i3d_torchscript.pt",
            "bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        ),
    ),
    51,
    "Apache-2.0",
)
_SIDE = 224  # pixels
SHORTEST = 10  # frames: fewer are nothing after its temporal strides


@cache
def i3d() -> torch.jit.ScriptModule:
    """The published program, loaded once and only if its checksum is right: it is code.

    Raises MissingExtractor.
    """
    (path,) = EXTRACTOR.paths()
    import torch

    return torch.jit.load(str(path), map_location="cpu").eval()


def features(model: torch.jit.ScriptModule, frames: np.ndarray) -> np.ndarray:
    """(1, 400) float32 logits of one (N, H, W, 3) uint8 video, resized to 224x224 bilinearly."""
    import torch
    from torch.nn import functional as F

    pixels = torch.tensor(frames).permute(0, 3, 1, 2).contiguous().float() / 255
    resized = F.interpolate(pixels, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
    video = (2 * resized - 1).permute(1, 0, 2, 3)[None].contiguous()
    with torch.no_grad():
        return model(video, rescale=False, resize=False, return_features=True).float().numpy()
