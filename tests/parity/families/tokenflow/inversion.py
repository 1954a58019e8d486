"""DDIM inversion, and reconstruction from its end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from methods.base import Context
from methods.inversion import Inversion, inversion_spec, invert
from methods.reconstruct import Reconstruct
from tests.parity.compare import Comparison, compare, equal
from tests.parity.families.tokenflow.common import backbone_of, tolerance
from tests.parity.recorded import RecordedBackbone
from tests.parity.recording import Recording
from tests.parity.run import Case


def inversion_cases(recording: Recording) -> Iterator[Case]:
    """The latents that the inversion keeps, and the way back over all its timesteps."""
    backbone, final = backbone_of(recording), recording.tensors["out.inversion.final"]
    timesteps = recording.tensors["in.timesteps"].tolist()
    yield "inversion", partial(_inversion, recording, backbone)
    yield "reconstruction", partial(reconstruct, recording, backbone, "inversion", final, timesteps)


def _inversion(recording: Recording, backbone: RecordedBackbone) -> Iterator[Comparison]:
    tensors, within = recording.tensors, tolerance(recording)
    steps = recording.setting("n_inversion_steps"), recording.setting("save_steps")
    spec = inversion_spec(*steps, "inversion")
    yield equal(sorted(tensors["in.timesteps_saved"].tolist()), list(spec.save))
    inverted = invert(backbone, tensors["in.x0"], spec)
    for t, latents in inverted.latents.items():
        yield compare(tensors[f"out.inversion.t{t:04d}"], latents, within)
    final = inverted.latents[inverted.noisiest]
    yield compare(tensors["out.inversion.final"], final, within)


def reconstruct(
    recording: Recording,
    backbone: RecordedBackbone,
    prompt: str,
    latents: Tensor,
    timesteps: list[int],
) -> Iterator[Comparison]:
    """Denoise the last inverted latents along recorded timesteps, as method ``reconstruct``."""
    method, n = Reconstruct(), len(timesteps)
    setting = method.Setting(n_timesteps=n, n_inversion_steps=n)
    plans = method.plan(setting, len(latents))
    yield equal(timesteps, [plan.timestep for plan in plans])
    inversion = Inversion(method.inversion(setting, prompt), latents, {timesteps[0]: latents})
    ctx = Context(None, None, setting, 0, backbone, inversion)
    state = method.start(ctx)
    for k, plan in enumerate(plans):
        state = method.step(ctx, state, plan, k)
    yield compare(recording.tensors["out.reconstruction"], state.latents, tolerance(recording))
