"""DDIM with Stable Diffusion's schedule: timesteps without torch, and one closed-form move.

Denoising and inverting are the same move between two noise levels (Song et al. 2021, eq. 12 with
sigma = 0), so one function serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """Where DDIM steps fall: "leading" spacing, as in Stable Diffusion's scheduler config."""

    num_train_timesteps: int = 1000
    steps_offset: int = 1

    def timesteps(self, n: int) -> list[int]:
        """The ``n`` sampling timesteps, noisiest first; ``n`` from 1 to 999 for SD."""
        last = self.num_train_timesteps - 1
        ratio = self.num_train_timesteps // n if n else 0
        steps = [k * ratio + self.steps_offset for k in reversed(range(n))]
        if not steps or not ratio or steps[0] > last:
            raise ValueError(f"{n} timesteps do not fit in 0..{last}; use 1 to {last}")
        return steps

    def previous(self, timestep: int, n: int) -> int:
        """Where a denoising step of an ``n``-step walk lands; negative for the last one."""
        return timestep - self.num_train_timesteps // n


STABLE_DIFFUSION = Schedule()  # SD 1.x, 2.x and the embedded model


def move(x: Tensor, noise: Tensor, alpha_from: Tensor, alpha_to: Tensor) -> Tensor:
    """Carry latents ``x`` from one noise level to another, given the noise they hold.

    ``alpha_*`` are cumulative products in (0, 1], scalars. Towards a larger alpha it denoises,
    towards a smaller one it inverts.
    """
    clean = (x - (1 - alpha_from) ** 0.5 * noise) / alpha_from**0.5
    return alpha_to**0.5 * clean + (1 - alpha_to) ** 0.5 * noise


def add_noise(clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """Latents at the noise level of ``alpha``."""
    return alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise


def noise_between(clean: Tensor, noisy: Tensor, alpha: Tensor) -> Tensor:
    """The noise that :func:`add_noise` must have added to get from ``clean`` to ``noisy``."""
    return (noisy - alpha**0.5 * clean) / (1 - alpha) ** 0.5
