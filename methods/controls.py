"""Base of controls: methods that run no network and answer with frames already known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from methods.base import Context, Method, Setting, State, StepPlan


class NoSetting(Setting):
    """Nothing to set."""


class Control(Method):
    """A method without steps; subclasses give the frames."""

    stochastic = False
    Setting = NoSetting

    @abstractmethod
    def frames(self, ctx: Context) -> np.ndarray:
        """(N, H, W, 3) uint8 frames."""

    def plan(self, setting: NoSetting, n_frames: int) -> Sequence[StepPlan]:
        """No steps."""
        return []

    def start(self, ctx: Context) -> None:
        """No state."""

    def step(self, ctx: Context, state: State, plan: StepPlan, k: int) -> State:
        """Never called: the plan is empty."""
        raise AssertionError("a control has no steps")

    def finish(self, ctx: Context, state: State | None) -> np.ndarray:
        """A copy, so that nobody writes into the clip."""
        return self.frames(ctx).copy()
