"""Where words are seen: masks from cross-attention maps, and latents blended by them.

Hertz et al., Prompt-to-Prompt, section 4 (local editing), as released; FateZero (section 3.3) uses
the same masks to blend self-attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor

    from methods.map_sites import Size
else:
    torch = lazy_import("torch")
    F = lazy_import("torch.nn.functional")


def words_seen(maps: Sequence[Tensor], tokens: Sequence[int], size: Size) -> Tensor:
    """How much every pixel attends to some tokens: (n, h, w), from maps (n, heads, h * w, L)."""
    summed = [x[..., list(tokens)].sum(-1).mean(1) for x in maps]
    return torch.stack(summed).mean(0).unflatten(-1, size)


def spread(seen: Tensor, size: Size) -> Tensor:
    """(n, H, W): widened by a pixel, resized, and every frame's largest value one."""
    wide = F.interpolate(F.max_pool2d(seen[:, None], 3, stride=1, padding=1), size)[:, 0]
    return wide / wide.amax((-2, -1), keepdim=True)


def word_mask(seen: Tensor, size: Size, threshold: float) -> Tensor:
    """(n, H, W) bool: above a share of the frame's largest value; from 1 on that is nowhere."""
    return spread(seen, size) > threshold


def blend(source: Tensor, edited: Tensor, mask: Tensor) -> Tensor:
    """Edited latents (n, C, H, W) inside the mask (n, H, W), the source's outside."""
    return source + mask[:, None].to(source) * (edited - source)
