"""Plain text-to-image sampling with classifier-free guidance: the baseline of guided methods.

Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022,
https://arxiv.org/abs/2112.10752.
"""

from __future__ import annotations

from collections.abc import Sequence

from methods.base import Context, State
from methods.solvers import Stand
from methods.text_sampling import SamplingPlan, SamplingSetting, TextSampler


class TextToImage(TextSampler):
    """An image of the prompt, and nothing else."""

    name = "text-to-image"
    paper = "Rombach et al., Latent Diffusion, CVPR 2022"
    Setting = SamplingSetting

    def plan(self, setting: SamplingSetting, n_frames: int) -> Sequence[SamplingPlan]:
        """Every timestep of the scheduler."""
        return [SamplingPlan(**values) for values in self.sampling(setting, n_frames)]

    def prepare(self, ctx: Context, state: State, plan: SamplingPlan, stand: Stand) -> State:
        """Nothing to do."""
        return state
