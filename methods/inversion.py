"""DDIM inversion as TokenFlow, PnP and FateZero do it, and its latents on disk.

The UNet sees the latents of the previous, less noisy timestep but is told the target timestep;
conditional on the source prompt, without guidance; every frame by itself, or with an inflation all
together.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from data.files import whole
from methods.base import Context, InversionSpec, Setting, State
from methods.ddim import STABLE_DIFFUSION, move
from methods.inflation import Inflation
from methods.kept_passes import KeptPasses
from methods.sampling import conditional_noise
from methods.source_pass import read_source

if TYPE_CHECKING:
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion


@dataclass
class Inversion:
    """A clip's inverted latents by timestep, each (N, 4, h, w) float32, and the clean ones."""

    spec: InversionSpec
    clean: Tensor
    latents: dict[int, Tensor]
    passes: KeptPasses | None = None  # never stored: an edit can run them again

    @property
    def noisiest(self) -> int:
        """The largest timestep that was kept."""
        return max(self.latents)

    def save(self, path: Path) -> None:
        """Write a safetensors file that appears whole or not at all."""
        from safetensors.torch import save_file

        tensors = {f"t{t:04d}": x.contiguous() for t, x in self.latents.items()}
        with whole(path) as part:
            save_file(
                tensors | {"clean": self.clean.contiguous()},
                part,
                metadata={"spec": json.dumps(asdict(self.spec))},
            )

    @classmethod
    def load(cls, path: Path) -> Inversion:
        """Read what :meth:`save` wrote."""
        from safetensors import safe_open
        from safetensors.torch import load_file

        with safe_open(path, framework="pt") as file:
            spec = json.loads(file.metadata()["spec"])
        # Files hold tensors unaligned, and kernels may round by alignment: bring them into memory.
        tensors = {key: value.clone() for key, value in load_file(path).items()}
        inflation = spec["inflation"]
        if inflation:
            inflation = Inflation(**{**inflation, "attend": tuple(inflation["attend"])})
        return cls(
            spec=InversionSpec(spec["steps"], tuple(spec["save"]), spec["prompt"], inflation),
            clean=tensors.pop("clean"),
            latents={int(key[1:]): value for key, value in tensors.items()},
        )


def inversion_spec(
    n_inversion_steps: int, n_timesteps: int, prompt: str, inflation: Inflation | None = None
) -> InversionSpec:
    """Keep the latents of the sampling timesteps and of the noisiest inversion timestep.

    The same for every method, so that methods with equal step counts share one inversion.
    """
    grid = STABLE_DIFFUSION.timesteps(n_inversion_steps)
    kept = {*STABLE_DIFFUSION.timesteps(n_timesteps), grid[0]}
    return InversionSpec(n_inversion_steps, tuple(sorted(kept)), prompt, inflation)


def check_grids(n_inversion_steps: int, n_timesteps: int) -> None:
    """ValueError unless inversion passes through every sampling timestep."""

    wanted = set(STABLE_DIFFUSION.timesteps(n_timesteps))

    def covers(steps: int) -> bool:
        return wanted <= set(STABLE_DIFFUSION.timesteps(steps))

    if not covers(n_inversion_steps):
        total = STABLE_DIFFUSION.num_train_timesteps
        # Divisors first: 40 steps are easier to read than 39.
        even = [n for n in range(1, total - 1) if total % n == 0]
        candidates = filter(covers, (n_timesteps, *even, total - 1))
        near = min(candidates, key=lambda n: abs(n - n_inversion_steps))
        raise ValueError(
            f"n_inversion_steps {n_inversion_steps} does not pass through the {n_timesteps} "
            f"sampling timesteps (n_timesteps); the nearest that does is {near}"
        )


class InvertedSetting(Setting):
    """Base of the settings of methods that start from inverted latents."""

    n_timesteps: int = Field(50, ge=1, le=500, description="denoising steps")
    n_inversion_steps: int = Field(50, ge=1, le=999, description="DDIM inversion steps")

    @model_validator(mode="after")
    def _grids(self) -> InvertedSetting:
        check_grids(self.n_inversion_steps, self.n_timesteps)
        return self


def inverted_start(ctx: Context) -> State:
    """The saved latents of the first sampling timestep."""
    return State(ctx.inversion.latents[STABLE_DIFFUSION.timesteps(ctx.setting.n_timesteps)[0]])


def evaluations(spec: InversionSpec, n_frames: int) -> int:
    """Samples through the network that an inversion costs."""
    return spec.steps * n_frames


def invert(backbone: StableDiffusion, latents: Tensor, spec: InversionSpec) -> Inversion:
    """Invert clean latents (N, 4, h, w), keeping those of ``spec.save``.

    Raises ValueError if a timestep to keep is not one the inversion passes through.
    """
    grid = STABLE_DIFFUSION.timesteps(spec.steps)[::-1]
    if not set(spec.save) <= set(grid):
        raise ValueError(f"inversion in {spec.steps} steps does not pass {spec.save}")
    embedding = backbone.embed([spec.prompt])
    x, previous, kept = latents, -1, {}
    passes = KeptPasses(spec.keep) if spec.keep else None
    for t in grid:
        if spec.inflation is None:
            noise = conditional_noise(backbone, x, embedding, t)
        else:
            source = read_source(backbone, x, embedding, t, spec.inflation)
            noise = source.noise
            if passes:
                passes.offer(t, source)
        x = move(x, noise, backbone.alpha(previous), backbone.alpha(t))
        previous = t
        if t in spec.save:
            kept[t] = x
    return Inversion(spec, latents, kept, passes)
