"""Attend-and-Excite's arithmetic: how much each word is attended to, and what raises the least.

Chefer et al., SIGGRAPH 2023, section 3, as released. Nothing here runs a network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor
else:
    torch = lazy_import("torch")
    F = lazy_import("torch.nn.functional")

SHARPEN = 100  # factor before the softmax over words
PADDING = 1  # whatever the kernel's size, as released: a larger kernel shrinks the map
MOST_REFINEMENTS = 20


@dataclass(frozen=True)
class Smoothing:
    """Smoothing of a word's map before its maximum is taken."""

    sigma: float = 0.5
    kernel_size: int = 3


def kernel(smoothing: Smoothing) -> Tensor:
    """(size, size) weights that sum to 1.

    As released: exp(-(d / (2 sigma))^2), where a Gaussian has exp(-(d / sigma)^2 / 2).
    """
    away = torch.arange(smoothing.kernel_size) - (smoothing.kernel_size - 1) / 2
    along = torch.exp(-((away / (2 * smoothing.sigma)) ** 2))
    weights = along[:, None] * along
    return weights / weights.sum()


def smooth(image: Tensor, smoothing: Smoothing) -> Tensor:
    """(h, w) map smoothed, its border reflected."""
    padded = F.pad(image[None, None], (PADDING,) * 4, mode="reflect")
    return F.conv2d(padded, kernel(smoothing).to(image)[None, None])[0, 0]


def aggregate(maps: Collection[Tensor]) -> Tensor:
    """(h, w, L) mean over all heads of (heads, h, w, L) maps of one size."""
    return torch.cat(tuple(maps)).mean(dim=0)


def maxima(
    attention: Tensor, positions: Sequence[int], smoothing: Smoothing | None, last: int = -1
) -> Tensor:
    """(n,) largest attention to each of n tokens, of (h, w, L) aggregated attention.

    The start token, and all from ``last`` on, are left out before a softmax over the others: -1
    leaves out one padding token, as released for SD 1.4; the end token's position is what was
    released as ``normalize_eot`` for SD 2.1.
    """
    text = (attention[..., 1:last] * SHARPEN).softmax(dim=-1)
    images = [text[..., position - 1] for position in positions]
    if smoothing:
        images = [smooth(image, smoothing) for image in images]
    return torch.stack([image.max() for image in images])


def neglect(largest: Tensor) -> Tensor:
    """The loss: what the least attended token lacks to be attended fully, in [0, 1]."""
    return (1 - largest).clamp(min=0).max()


def excite(
    latents: Tensor,
    step_size: float,
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
    *,
    refine_to: float | None,
    alter: bool,
) -> Tensor:
    """Latents moved along the gradient before a denoising step.

    ``evaluate`` gives loss and gradient. Where the loss is above ``1 - refine_to``, latents are
    moved until it no longer is, 20 times at most; ``alter`` then moves them once more. As released,
    the loss that is tested is that before the latest move.
    """
    loss, gradient = evaluate(latents)
    if refine_to is not None and loss > 1 - refine_to:
        for _ in range(MOST_REFINEMENTS):
            enough = loss <= 1 - refine_to
            latents = latents - step_size * gradient
            loss, gradient = evaluate(latents)
            if enough:
                break
    return latents - step_size * gradient if alter else latents
