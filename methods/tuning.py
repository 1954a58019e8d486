"""Methods whose network is tuned on the clip before it edits: what they ask for and must give.

Tuned weights are an artefact as inverted latents are: named by all that they depend on, computed
once, and shared by every cell that asks for them. Loads no torch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from methods.base import Context, InversionSpec, Method
from methods.inflation import Inflation

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from methods.inversion import Inversion


@dataclass(frozen=True)
class TuningSpec:
    """Everything that weights tuned on a clip depend on, besides clip and backbone.

    ``temporal`` says what the biases of the temporal attentions' outputs start from: as released a
    linear layer's random ones, or zeros, with which the untuned layers are the identity.
    """

    steps: int
    learning_rate: float
    seed: int
    prompt: str
    inflation: Inflation
    temporal: Literal["released", "identity"]

    def evaluations(self, n_frames: int) -> int:
        """Samples through the network, each there and back."""
        return self.steps * n_frames


@dataclass(frozen=True, kw_only=True)
class TunedInversionSpec(InversionSpec):
    """Inverted latents of a network that was tuned on the clip before."""

    tuning: TuningSpec


@dataclass
class TunedContext(Context):
    """What a cell of a tuned network may look at; the weights are by name, in float32."""

    tuned: Mapping[str, Tensor] | None = None


class TuningRun(Protocol):
    """A tuning between two of its steps: it can be packed, and goes on from there to the bit."""

    done: int  # steps so far

    def step(self) -> None:
        """One gradient step."""

    def result(self) -> dict[str, Tensor]:
        """The weights as they now are."""

    def pack(self) -> dict[str, Tensor]:
        """All that the next steps depend on."""

    def unpack(self, packed: Mapping[str, Tensor]) -> None:
        """Stand where :meth:`pack` was called."""


class TunedMethod(Method):
    """A method with tuned weights: its ``inversion`` is a :class:`TunedInversionSpec`.

    Its cells' context is a :class:`TunedContext`.
    """

    tuning_modules: ClassVar[tuple[str, ...]]  # code behind the weights and what they invert

    @abstractmethod
    def tuner(self, backbone: Any, frames: np.ndarray, spec: TuningSpec) -> TuningRun:
        """A tuning on (N, H, W, 3) uint8 frames that has not begun."""

    @abstractmethod
    def invert(
        self,
        backbone: Any,
        frames: np.ndarray,
        spec: TunedInversionSpec,
        weights: Mapping[str, Tensor],
    ) -> Inversion:
        """The frames inverted by the tuned network."""
