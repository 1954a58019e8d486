"""ST-LPIPS (Ghildyal and Liu, ECCV 2022): LPIPS trained to tolerate shifts, over its own AlexNet.

The network is built here from its published weights: a first convolution without stride, blurred
before every subsampling (Zhang 2019) with borders mirrored two pixels deep.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from metrics.nets.files import Extractor, PackageFile
from metrics.nets.lpips import Lpips

if TYPE_CHECKING:
    import torch
    from torch import nn

EXTRACTOR = Extractor(
    "stlpips-alex",
    (
        PackageFile(
            "stlpips-pytorch==0.0.2",
            "stlpips_pytorch",
            "weights/vST0.0/alex_shift_tolerant.pth",
            "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        ),
    ),
    64,
    "BSD-2",
)


_COMPARED = (2, 6, 10, 12, 14)  # layers whose activations are compared
_NAME = re.compile(r"net\.slice\d\.(\d+)\.(\w+)")  # a trunk's weight in the published file


def _trunk() -> list[nn.Module]:
    from torch import nn

    def blur(width: int) -> nn.Module:
        filtered = nn.Conv2d(width, width, 3, stride=2, groups=width, bias=False)
        return nn.Sequential(nn.ReflectionPad2d(2), filtered)

    return [
        nn.Conv2d(3, 64, 11, padding=2),
        blur(64),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=1),
        blur(64),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=1),
        blur(192),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    ]


def build(published: Mapping[str, torch.Tensor]) -> Lpips:
    """The network with the weights of the published file. Raises RuntimeError for another's."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        trunk = nn.ModuleList(_trunk())
        weights = [nn.Conv2d(trunk[at - 1].out_channels, 1, 1, bias=False) for at in _COMPARED[1:]]
        weights.insert(0, nn.Conv2d(64, 1, 1, bias=False))
    trunk.load_state_dict(
        {
            f"{match[1]}.1.weight" if match[2] == "filt" else f"{match[1]}.{match[2]}": value
            for key, value in published.items()
            if (match := _NAME.fullmatch(key))
        }
    )
    for index, layer in enumerate(weights):
        layer.weight.data = published[f"lin{index}.model.1.weight"]
    shift, scale = published["scaling_layer.shift"], published["scaling_layer.scale"]

    def activations(x: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for at, layer in enumerate(trunk):
            x = layer(x)
            if at in _COMPARED:
                found.append(x)
        return found

    return Lpips(activations, lambda pixels: (pixels - shift) / scale, weights)


@cache
def stlpips_net() -> Lpips:
    """ST-LPIPS over AlexNet, loaded once. Raises MissingExtractor."""
    (path,) = EXTRACTOR.paths()
    import torch

    return build(torch.load(path, map_location="cpu", weights_only=True))
