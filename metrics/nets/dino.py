"""DINO ViT-B/8 (Caron et al. 2021) and the self-similarity of its last keys."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from metrics.nets.files import Extractor, HubFile

if TYPE_CHECKING:
    import torch
    from torch import nn

EXTRACTOR = Extractor(
    "dino-vitb8",
    (HubFile("timm/vit_base_patch8_224.dino", "model.safetensors"),),
    343,
    "Apache-2.0",
)
_SHORT, _LONGEST = 224, 480  # pixels, of the sides it is fed
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@cache
def dino() -> nn.Module:
    """The network without a head, for any size, loaded once. Raises MissingExtractor."""
    (path,) = EXTRACTOR.paths()
    import timm
    import torch
    from safetensors.torch import load_file

    with torch.random.fork_rng(devices=[]):
        model = timm.create_model("vit_base_patch8_224", num_classes=0, dynamic_img_size=True)
    published = load_file(path)
    model.load_state_dict({k: v for k, v in published.items() if not k.startswith("head.")})
    return model.eval().requires_grad_(False)


def fit(frame: np.ndarray, patch: int, *, antialias: bool, levels: bool) -> torch.Tensor:
    """(1, 3, h, w) of an (H, W, 3) uint8 frame: short side 224 and long side at most 480 pixels,
    normalised as ImageNet, cut to whole patches. ``levels``: 0 to 255 are normalised, not 0 to 1.
    """
    import torch
    from torchvision.transforms.v2 import functional as F

    pixels = torch.tensor(frame).permute(2, 0, 1).contiguous().float()
    pixels = F.resize(pixels, [_SHORT], max_size=_LONGEST, antialias=antialias)
    pixels = F.normalize(pixels if levels else pixels / 255, _MEAN, _STD)
    height, width = (side - side % patch for side in pixels.shape[1:])
    return pixels[None, :, :height, :width].contiguous()


def key_similarity(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """(T, T) cosines between the last layer's keys, all heads concatenated, of one image.

    The class token counts as one of the T. Source: Tumanyan et al. 2022 (Splice), section 3.
    """
    import torch
    from torch.nn import functional as F

    caught = []
    hook = model.blocks[-1].attn.qkv.register_forward_hook(lambda *call: caught.append(call[-1]))
    try:
        with torch.no_grad():
            model.forward_features(pixels)
    finally:
        hook.remove()
    keys = F.normalize(caught[0][0].chunk(3, dim=-1)[1], dim=-1)
    return keys @ keys.T
