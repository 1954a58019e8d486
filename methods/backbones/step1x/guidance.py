"""Classifier-free guidance as released, with the norm-rescaled variant that it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


def divisor(norm: Tensor, power: float) -> Tensor:
    """``process_diff_norm``: norms above 1 to a power, 1 for all others."""
    return torch.where(norm > 1, norm**power, torch.ones_like(norm))


def guide(cond: Tensor, uncond: Tensor, scale: float, power: float | None = None) -> Tensor:
    """Tokens (B, N, C) guided by ``scale``.

    With ``power``, every token's difference is divided by that power of its norm, where above 1.
    """
    difference = cond - uncond
    if power is not None:
        difference = difference / divisor(difference.norm(dim=-1, keepdim=True), power)
    return uncond + scale * difference
