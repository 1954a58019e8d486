"""The Inception of FID: TensorFlow's of 2015 as pytorch-fid ported it, over torchvision's blocks.

It differs from torchvision's in three places: average pools leave the padding out of their count,
the last block pools by the maximum, and there are 1008 classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from metrics.nets.files import Extractor, TorchFile

if TYPE_CHECKING:
    import torch
    from torch import nn

EXTRACTOR = Extractor(
    "inception-v3",
    (
        TorchFile(
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth"
        ),
    ),
    91,
    "Apache-2.0",
)
_SIDE = 299  # pixels
_BATCH = 16


def build() -> nn.Module:
    """The network up to its 2048 pooled features, its weights drawn at random."""
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torchvision.models import inception_v3

    with torch.random.fork_rng(devices=[]):
        model = inception_v3(
            weights=None, aux_logits=False, num_classes=1008, transform_input=False,
            init_weights=False,
        )  # fmt: skip
    average = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
    largest = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
    for name, block in model.named_children():
        if hasattr(block, "branch_pool"):
            block.register_forward_hook(_pooling(largest if name == "Mixed_7c" else average))
    model.dropout = nn.Identity()
    return model.eval().requires_grad_(False)


def _pooling(pool: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A hook that pools a block's last branch another way."""

    def hook(block: nn.Module, given: tuple[torch.Tensor], out: torch.Tensor) -> torch.Tensor:
        import torch

        branch = block.branch_pool(pool(given[0]))
        return torch.cat([out[:, : -branch.shape[1]], branch], dim=1)

    return hook


@cache
def inception() -> nn.Module:
    """The network with the published weights, loaded once. Raises MissingExtractor."""
    (path,) = EXTRACTOR.paths()
    import torch
    from torch import nn

    model = build()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model.fc = nn.Identity()
    return model


def features(model: nn.Module, frames: np.ndarray) -> np.ndarray:
    """(N, 2048) float32 features of (N, H, W, 3) uint8 frames, resized to 299x299 bilinearly."""
    import torch
    from torch.nn import functional as F

    pixels = torch.tensor(frames).permute(0, 3, 1, 2).contiguous().float() / 255
    parts = []
    with torch.no_grad():
        for part in pixels.split(_BATCH):
            resized = F.interpolate(part, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
            parts.append(model(2 * resized - 1))
    return torch.cat(parts).numpy()
