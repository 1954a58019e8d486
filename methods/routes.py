"""TokenFlow's keyframes: which frames they are, and how other frames draw on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class Route:
    """For each of n frames: the two keyframes it draws on, and how much on the first."""

    first: Tensor  # (n,) int64, index among the keyframes
    second: Tensor  # (n,) int64; the first again where a frame draws on one keyframe
    weight: Tensor  # (n,) float32, the first keyframe's share; 1 where there is but one


def draw_keyframes(n_frames: int, batch_size: int, rng: torch.Generator) -> list[int]:
    """One frame index per batch of frames, uniform within it; the last batch may be short."""
    return [
        first + int(torch.randint(min(batch_size, n_frames - first), (), generator=rng))
        for first in range(0, n_frames, batch_size)
    ]


def released_route(frames: range, batch_size: int) -> Route:
    """The keyframe of a frame's own batch and that of the batch before, as released.

    The own one's weight is sigmoid(d_previous / (d_own + d_previous)) with distances to the centres
    of the batches, not to the keyframes drawn in them: 0.62 to 0.73. The first batch has one.
    """
    index = torch.arange(frames.start, frames.stop)
    own = index // batch_size
    to_own = (index - (own * batch_size + batch_size // 2)).abs()
    to_previous = (index - ((own - 1) * batch_size + batch_size // 2)).abs()
    weight = torch.sigmoid(to_previous / (to_own + to_previous))
    return Route(own, (own - 1).clamp(min=0), torch.where(own > 0, weight, 1.0))


def paper_route(frames: range, keyframes: Sequence[int]) -> Route:
    """The nearest keyframes on both sides of a frame, as the paper has it (section 4.2).

    Weights fall linearly with the distance to the keyframes themselves, so that a keyframe draws on
    itself alone. Frames before the first or after the last keyframe have that one.
    """
    index = torch.arange(frames.start, frames.stop)
    at = torch.tensor(list(keyframes))  # increasing: one per batch
    after = torch.searchsorted(at, index)  # the first keyframe at or after the frame
    first, second = (after - 1).clamp(min=0), after.clamp(max=len(at) - 1)
    to_first, to_second = (index - at[first]).abs(), (at[second] - index).abs()
    between = to_second / (to_first + to_second).clamp(min=1)
    return Route(first, second, torch.where(first == second, 1.0, between))
