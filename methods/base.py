"""What a method is: a stepper whose plan says, step by step, all that a setting changes.

Two cells whose plans agree up to step k (and that start alike) share those steps. That is why a
:class:`StepPlan` holds everything step k depends on and nothing else, and why a state is copyable.
Importing a method must not import torch: use :func:`methods.lazy.lazy_import`.
"""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from data.clip import Clip, Edit

if TYPE_CHECKING:
    import torch

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.inversion import Inversion


class Setting(BaseModel):
    """Base of every method's typed parameters. Each field has a range and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Requirements:
    """What a method needs; the planner refuses an edit or backbone that lacks it."""

    backbone: bool = True  # runs a network at all (controls do not)
    inversion: bool = False
    oracle: bool = False
    edit: bool = True  # False: the same frames whatever the edit (source, reconstruct)
    prediction: tuple[str, ...] = ("epsilon", "v_prediction")


@dataclass(frozen=True)
class InversionSpec:
    """Everything the inverted latents of a clip depend on, besides clip and backbone."""

    steps: int  # inversion steps
    save: tuple[int, ...]  # timesteps whose latents are kept
    prompt: str


@dataclass(frozen=True)
class StepPlan:
    """What one denoising step does. Subclasses add the method's own switches; all hashable."""

    timestep: int
    evaluations: int  # samples through the network


@dataclass
class State:
    """What a method carries from step to step."""

    latents: torch.Tensor
    extra: dict[str, Any] = field(default_factory=dict)

    def fork(self) -> State:
        """An independent copy."""
        return State(self.latents.clone(), copy.deepcopy(self.extra))


@dataclass
class Context:
    """Everything a cell may look at while it runs."""

    clip: Clip
    edit: Edit | None
    setting: Any
    seed: int
    backbone: StableDiffusion | None = None
    inversion: Inversion | None = None

    def rng(self, purpose: str, k: int = 0) -> torch.Generator:
        """A CPU generator keyed by (seed, purpose, step)."""
        import torch

        key = hashlib.sha256(f"{self.seed}/{purpose}/{k}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)


class Method(ABC):
    """An editing algorithm. The module's docstring names the paper; reports show it."""

    name: ClassVar[str]
    paper: ClassVar[str]
    requires: ClassVar[Requirements] = Requirements()
    stochastic: ClassVar[bool] = True  # False: the seed changes nothing, so it is not in the id
    Setting: ClassVar[type[Setting]]

    def inversion(self, setting: Any, clip_prompt: str) -> InversionSpec | None:
        """The inversion a setting asks for, or None."""
        return None

    @abstractmethod
    def plan(self, setting: Any, n_frames: int) -> Sequence[StepPlan]:
        """One plan per denoising step; empty for methods that run no network.

        Cells whose first k plans agree run those k steps once. So the first plan must also hold
        all that the start reads of the setting, and a step reads its plan, never ``ctx.setting``
        (the engine refuses it).
        """

    @abstractmethod
    def start(self, ctx: Context) -> State | None:
        """The state before the first step."""

    @abstractmethod
    def step(self, ctx: Context, state: State, plan: StepPlan, k: int) -> State:
        """Advance by one denoising step."""

    @abstractmethod
    def finish(self, ctx: Context, state: State | None) -> np.ndarray:
        """(N, H, W, 3) uint8 frames."""


def run_cell(method: Method, ctx: Context) -> np.ndarray:
    """Run one cell alone: the reference that every shared run must equal bit for bit."""
    state = method.start(ctx)
    for k, plan in enumerate(method.plan(ctx.setting, len(ctx.clip.frames))):
        state = method.step(ctx, state, plan, k)
    return method.finish(ctx, state)
