"""PnP: inversion with every latent kept, and runs from the recorded latents and to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from methods.base import InversionSpec
from methods.ddim import STABLE_DIFFUSION
from methods.inversion import invert
from methods.pnp import PnP, PnPPlan, pnp_step
from methods.sampling import Branches
from tests.parity.compare import Comparison, compare, equal
from tests.parity.families.tokenflow.common import STEP, backbone_of, tolerance
from tests.parity.families.tokenflow.inversion import reconstruct
from tests.parity.recorded import RecordedBackbone
from tests.parity.recording import Recording
from tests.parity.run import Case

EMPTY = "source_empty_prompt"
Step = Callable[[Tensor, int, Any], Tensor]  # latents, index and plan of a step to latents


def pnp_cases(recording: Recording) -> Iterator[Case]:
    """Inversion and reconstruction, then every run of the settings."""
    backbone, tensors = backbone_of(recording), recording.tensors
    last = tensors["out.inversion.latents"][-1]
    timesteps = tensors["in.inversion_timesteps"].tolist()
    yield "inversion", partial(_inversion, recording, backbone, timesteps)
    yield "reconstruction", partial(reconstruct, recording, backbone, EMPTY, last, timesteps)
    for index, run in enumerate(recording.setting("runs")):
        plans = PnP().plan(_setting(recording, run), 1)
        step = partial(_step, recording, backbone)
        yield f"run{index} steps", partial(each_step, recording, f"run{index}.", step, plans)
        yield f"run{index} whole", partial(free_run, recording, f"run{index}.", step, plans)


def _setting(recording: Recording, run: dict[str, Any]) -> PnP.Setting:
    shares = {name: max(0.0, run[name]) for name in ("pnp_f_t", "pnp_attn_t")}  # below 0: none
    return PnP.Setting(
        n_timesteps=recording.setting("n_timesteps"),
        n_inversion_steps=recording.setting("n_inversion_steps"),
        **(run | shares),
    )


def _inversion(
    recording: Recording, backbone: RecordedBackbone, timesteps: list[int]
) -> Iterator[Comparison]:
    yield equal(timesteps, STABLE_DIFFUSION.timesteps(len(timesteps)))
    spec = InversionSpec(len(timesteps), tuple(sorted(timesteps)), EMPTY)
    inverted = invert(backbone, recording.tensors["in.x0"], spec)
    expected = recording.tensors["out.inversion.latents"]
    for k, t in enumerate(spec.save):
        yield compare(expected[k], inverted.latents[t], tolerance(recording))


def _step(
    recording: Recording, backbone: RecordedBackbone, latents: Tensor, k: int, plan: PnPPlan
) -> Tensor:
    source = recording.tensors["in.source_latents"][k]
    text = backbone.embed([EMPTY, "negative", "edit"])
    return pnp_step(backbone, Branches(source, latents, text, plan.timestep), plan)


def each_step(
    recording: Recording, run: str, step: Step, plans: Sequence[Any]
) -> Iterator[Comparison]:
    """Every step from the recorded latents before it, and its timestep."""
    tensors = recording.tensors
    yield equal(tensors["in.timesteps"].tolist(), [plan.timestep for plan in plans])
    expected = tensors[f"out.{run}latents_after_step"]
    before = [tensors[f"in.{run}initial_latents"], *expected[:-1]]
    for k, plan in enumerate(plans):
        yield compare(expected[k], step(before[k], k, plan), tolerance(recording, STEP))


def free_run(
    recording: Recording, run: str, step: Step, plans: Sequence[Any]
) -> Iterator[Comparison]:
    """From the recorded start to the end on our own."""
    latents = recording.tensors[f"in.{run}initial_latents"]
    for k, plan in enumerate(plans):
        latents = step(latents, k, plan)
    yield compare(recording.tensors[f"out.{run}final"], latents, tolerance(recording))
