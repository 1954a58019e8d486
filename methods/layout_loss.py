"""Layout guidance's loss: an object's words should be looked at from within its boxes.

Chen, Laina, Vedaldi, WACV 2024, section 3.2 (backward guidance), as released; of the port that
walkthrough 004 quotes, the two deviations that change its numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 as shares of width and height
Rounding = Literal["down", "nearest"]
Heads = Literal["all", "second half"]


@dataclass(frozen=True)
class Target:
    """An object: where its words stand in the prompt and where it is to stand in the picture."""

    tokens: tuple[int, ...]
    boxes: tuple[Box, ...]


def box_mask(boxes: Iterable[Box], height: int, width: int, rounding: Rounding) -> Tensor:
    """(height, width) float32, 1 inside any of the boxes; edges are cut to whole cells.

    Released: rounded down. The port: to the nearest, halves to the even.
    """
    cut = int if rounding == "down" else round
    mask = torch.zeros(height, width)
    for x0, y0, x1, y1 in boxes:
        mask[cut(y0 * height) : cut(y1 * height), cut(x0 * width) : cut(x1 * width)] = 1
    return mask


def layout_loss(
    maps: Collection[Tensor],
    targets: Sequence[Target],
    rounding: Rounding = "down",
    heads: Heads = "all",
) -> Tensor:
    """Squared share of attention outside the boxes, a scalar in [0, 1]; 0 without targets.

    ``maps``: (heads, h, w, L) each. Mean over maps, objects, an object's tokens, and heads, of
    which the port leaves out the first half.
    """
    loss = torch.zeros(())
    for attention in maps:
        if heads == "second half":
            attention = attention.chunk(2)[-1]
        attention = attention.to(torch.promote_types(attention.dtype, torch.float32))
        height, width = attention.shape[1:3]
        for target in targets:
            mask = box_mask(target.boxes, height, width, rounding).to(attention)
            seen = attention[..., list(target.tokens)].flatten(1, 2)  # (heads, h * w, tokens)
            inside = (seen * mask.flatten()[:, None]).sum(dim=1) / seen.sum(dim=1)
            loss = loss.to(inside) + ((1 - inside) ** 2).mean(dim=0).sum() / len(target.tokens)
    return loss / max(1, len(maps) * len(targets))
