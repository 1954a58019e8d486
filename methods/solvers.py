"""Samplers: diffusers' schedulers by name, taken up before any step and left after it.

A scheduler object remembers earlier steps; a stepper's state must be copyable. So a step makes the
scheduler anew, gives it the history that the state holds, and takes the history out again. Two
scalings occur: "variance preserving" latents, which the network sees as they are (DDIM, PNDM), and
"exploding" ones in units of sigma, scaled down for the network (Karras et al. 2022, table 1).

LMS extrapolates from four steps, as released. That is stable only while a step changes the noise
little: under guidance w an error's rate of decay is up to w times that without, and past a third of
it per step LMS makes errors alternate and grow where Euler's damps them up to two. The embedded
model leaves that region at a guidance of 7.5: latents end five times too large and colours are
wrong, in 20 steps as in 51. Up to 3 LMS is well there; Euler, DDIM and PNDM are at 7.5 too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from methods.ddim import STABLE_DIFFUSION
from methods.lazy import lazy_import

if TYPE_CHECKING:
    import diffusers
    import torch
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
else:
    diffusers = lazy_import("diffusers")
    torch = lazy_import("torch")

SolverName = Literal["ddim", "pndm", "euler", "lms"]


@dataclass(frozen=True)
class Solver:
    """A diffusers scheduler: its class, where its steps fall, and what it remembers."""

    scheduler: str
    spacing: Literal["leading", "linspace"]
    counter: str = ""  # attribute that counts steps
    outputs: str = ""  # attribute that lists earlier outputs
    sample: str = ""  # attribute that holds an earlier sample
    repeats: bool = False  # the second timestep comes twice

    def timesteps(self, n: int) -> list[float]:
        """The timesteps of ``n`` steps, noisiest first; ``linspace`` has fractions of a step."""
        if self.spacing == "linspace":
            last = STABLE_DIFFUSION.num_train_timesteps - 1
            return np.linspace(0, last, n, dtype=np.float32)[::-1].tolist()
        steps = STABLE_DIFFUSION.timesteps(n)
        return steps[:2] + steps[1:] if self.repeats else steps


SOLVERS: dict[SolverName, Solver] = {
    "ddim": Solver("DDIMScheduler", "leading"),
    "pndm": Solver("PNDMScheduler", "leading", "counter", "ets", "cur_sample", repeats=True),
    "euler": Solver("EulerDiscreteScheduler", "linspace", "_step_index"),
    "lms": Solver("LMSDiscreteScheduler", "linspace", "_step_index", "derivatives"),
}


@dataclass
class Stand:
    """A scheduler standing before one of its steps."""

    solver: Solver
    scheduler: Any
    timestep: float
    k: int

    @classmethod
    def before(
        cls,
        name: SolverName,
        backbone: StableDiffusion,
        n: int,
        k: int,
        history: dict[str, Tensor] | None = None,
    ) -> Stand:
        """Before step ``k`` of ``n``, on the backbone's noise schedule."""
        solver = SOLVERS[name]
        options = {"skip_prk_steps": True} if name == "pndm" else {}
        scheduler = getattr(diffusers, solver.scheduler).from_config(
            dict(backbone.scheduler.config)
            | {"timestep_spacing": solver.spacing, "prediction_type": "epsilon"}
            | options
        )
        scheduler.set_timesteps(n)
        if solver.counter:
            setattr(scheduler, solver.counter, k)
        history = history or {}
        if "outputs" in history:
            setattr(scheduler, solver.outputs, list(history["outputs"]))
        if "sample" in history:
            setattr(scheduler, solver.sample, history["sample"])
        return cls(solver, scheduler, solver.timesteps(n)[k], k)

    @property
    def exploding(self) -> bool:
        """Whether latents are in units of sigma."""
        return hasattr(self.scheduler, "sigmas")

    @property
    def start_scale(self) -> Tensor:
        """What unit noise is multiplied by to start here."""
        return torch.as_tensor(self.scheduler.init_noise_sigma, dtype=torch.float32)

    @property
    def sigma(self) -> Tensor:
        """Noise over signal, a scalar."""
        if self.exploding:
            return self.scheduler.sigmas[self.k]
        alpha = self.scheduler.alphas_cumprod[int(self.timestep)]
        return ((1 - alpha) / alpha) ** 0.5

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents as the network sees them."""
        return self.scheduler.scale_model_input(latents, self.timestep)

    def step(self, noise: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents after the step, and the history that the next one needs."""
        after = self.scheduler.step(noise, self.timestep, latents).prev_sample
        history = {}
        if self.solver.outputs:
            history["outputs"] = torch.stack(getattr(self.scheduler, self.solver.outputs))
        if self.solver.sample and getattr(self.scheduler, self.solver.sample) is not None:
            history["sample"] = getattr(self.scheduler, self.solver.sample)
        return after, history
