"""What a method is: a stepper whose plan says, step by step, all that a setting changes.

Two cells whose plans agree up to step k (and that start alike) share those steps. That is why a
:class:`StepPlan` holds everything step k depends on and nothing else, and why a state is copyable.
Cells that part can still share a part of their steps, such as a source branch: ``ctx.shared``.
Importing a method must not import torch: use :func:`methods.lazy.lazy_import`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from data.clip import Clip, Edit

if TYPE_CHECKING:
    import torch

    from methods.backbones.stable_diffusion import StableDiffusion
    from methods.inflation import Inflation
    from methods.inversion import Inversion
    from methods.kept_passes import Keep

T = TypeVar("T")
Shared = Callable[[Hashable, Callable[[], T]], T]


class Setting(BaseModel):
    """Base of every method's typed parameters. Each field has a range and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Requirements:
    """What a method needs; the planner refuses an edit or backbone that lacks it."""

    backbone: bool = True  # runs a network at all (controls do not)
    inversion: bool = False
    oracle: bool = False
    layout: bool = False  # which phrases of the prompt are objects, and their boxes
    edit: bool = True  # False: the same frames whatever the edit (source, reconstruct)
    prediction: tuple[str, ...] = ("epsilon", "v_prediction")


@dataclass(frozen=True)
class InversionSpec:
    """Everything the inverted latents of a clip depend on, besides clip and backbone.

    ``keep`` alone changes nothing of them: what else is to be kept for the edit.
    """

    steps: int  # inversion steps
    save: tuple[int, ...]  # timesteps whose latents are kept
    prompt: str
    inflation: Inflation | None = None  # how the network sees the clip; None: frame by frame
    keep: Keep | None = None


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """What one denoising step does. Subclasses add the method's own switches; all hashable."""

    timestep: int
    evaluations: int  # samples through the network
    source_evaluations: int = 0  # of these, what the step computes through ``ctx.shared``

    @property
    def source_key(self) -> Hashable:
        """What the shared part depends on besides clip, inversion, seed and step index."""
        return self.timestep


@dataclass
class State:
    """What a method carries from step to step."""

    latents: torch.Tensor
    extra: dict[str, torch.Tensor] = field(default_factory=dict)

    def fork(self) -> State:
        """An independent copy."""
        return State(self.latents.clone(), {k: v.clone() for k, v in self.extra.items()})

    def pack(self) -> dict[str, np.ndarray]:
        """Arrays from which :meth:`unpack` makes the same state, to the bit."""
        return {k: v.numpy() for k, v in ({"latents": self.latents} | self.extra).items()}

    @classmethod
    def unpack(cls, arrays: Mapping[str, np.ndarray]) -> State:
        """The state that was packed."""
        import torch

        tensors = {k: torch.from_numpy(v) for k, v in arrays.items()}
        return cls(tensors.pop("latents"), tensors)


def compute(key: Hashable, work: Callable[[], T]) -> T:
    """``ctx.shared`` of a cell that runs alone: do the work."""
    return work()


@dataclass
class Context:
    """Everything a cell may look at while it runs."""

    clip: Clip
    edit: Edit | None
    setting: Any
    seed: int
    backbone: StableDiffusion | None = None
    inversion: Inversion | None = None
    #: ``shared(key, work)``: the work's result, done once for all siblings (cells of the same
    #: clip, inversion and seed) that ask for the same key in the same step. The key and the step's
    #: index say all that it depends on: neither the edit nor the edited latents.
    shared: Shared[Any] = compute

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
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # name: values that differ from default
    State: ClassVar[type] = State

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

    def traces(self, state: State | None) -> Mapping[str, np.ndarray]:
        """What is kept beside the frames for metrics and reports, by name."""
        return {}


def run_cell(method: Method, ctx: Context) -> np.ndarray:
    """Run one cell alone: the reference that every shared run must equal bit for bit."""
    state = method.start(ctx)
    for k, plan in enumerate(method.plan(ctx.setting, len(ctx.clip.frames))):
        state = method.step(ctx, state, plan, k)
    return method.finish(ctx, state)
