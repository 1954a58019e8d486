"""C3: the whole loop of a segment, run by our stepper; and the scheduler's tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.speech import Audio, SpokenEdit, TalkingClip
from methods.backbones.hallo.backbone import Hallo as Backbone
from methods.backbones.hallo.portrait import Segment
from methods.backbones.hallo.schedule import RELEASED, scheduler, timesteps
from methods.base import Context
from methods.hallo import FPS, PICTURES, Hallo, HalloSetting
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.hallo.common import frames_first, network, real, tolerance
from tests.parity.families.hallo.networks import segment
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case


@dataclass(eq=False)
class Recorded(Backbone):
    """A backbone that is given the recorded conditions and keeps what its network says."""

    given: Segment | None = None
    said: list[Tensor] = field(default_factory=list)

    def face(self, *_: Any) -> None:
        return None

    def hear(self, *_: Any) -> None:
        return None

    def segment(self, *_: Any) -> Segment:
        return self.given

    def velocity(self, *given: Any) -> Tensor:
        out = super().velocity(*given)
        self.said.append(out)
        return out


def _loop_cases(recording: Recording) -> Iterator[Case]:
    given = recording.setting("scheduler")
    if recording.setting("eta") or given != {name: RELEASED[name] for name in given}:
        raise CannotRun("the recording's schedule is not the released one")
    for name in sorted(recording.tensors):
        if name.startswith("latents_steps_"):
            yield name, lambda name=name: _walk(recording, name.removeprefix("latents_steps_"))
    yield "schedule", lambda: _schedule(recording)


def _walk(recording: Recording, name: str) -> Iterator[Comparison]:
    """``name``: [eval_]<bank>."""
    bank = name.removeprefix("eval_")
    conditions = segment(recording)
    dtype = torch.float16 if bank == "bank16" else recording.dtype
    backbone = Recorded(network(recording), None, None, None, bank_dtype=dtype, given=conditions)
    ctx = _context(recording, backbone, "evaluation" if bank != name else "released")
    method, frames = Hallo(), len(conditions.audio)
    latents = frames_first(real(recording, "latents"))[0]
    state = method.State(latents, {PICTURES: conditions.pictures})
    walked = []
    for k, plan in enumerate(method.plan(ctx.setting, frames)):
        state = method.step(ctx, state, plan, k)
        walked.append(frames_first(state.latents[None]))
    within = tolerance(recording, bank)
    yield compare(recording.tensors[f"latents_steps_{name}"], torch.stack(walked), within)
    if f"noise_pred_{name}" in recording.tensors:
        said = torch.stack([frames_first(velocity) for velocity in backbone.said])
        yield compare(recording.tensors[f"noise_pred_{name}"], said, within)


def _context(recording: Recording, backbone: Recorded, branch: str) -> Context:
    frames, side = len(backbone.given.audio), 8 * backbone.given.pictures.shape[-1]
    pose, face, lip = recording.setting("motion_scale")
    setting = HalloSetting(
        n_timesteps=len(recording.tensors["timesteps"]),
        guidance_scale=recording.setting("guidance_scale"),
        motion_scale_pose=pose,
        motion_scale_face=face,
        motion_scale_lip=lip,
        n_motion_frames=len(backbone.given.pictures) - 1,
        clip_length=frames,
        branch=branch,
    )
    still = np.zeros((frames, side, side, 3), np.uint8)
    silent = Audio(np.zeros(1, np.int16))
    edit = SpokenEdit(id="speech", kind="audio", prompt="", audio=silent)
    clip = TalkingClip(id="portrait", dataset="recorded", frames=still, prompt="", fps=FPS)
    return Context(clip, edit, setting, seed=0, backbone=backbone)


def _schedule(recording: Recording) -> list[Comparison]:
    ours, tensors = scheduler(), recording.tensors
    alphas = ours.alphas_cumprod.double()
    audio = network(recording).audioproj(real(recording, "audio_window"))
    exact = Tolerance(1e-6, 1e-6)
    return [
        equal(tensors["timesteps"].tolist(), timesteps(len(tensors["timesteps"]))),
        equal(tensors["sched_timesteps_40"].tolist(), timesteps(40)),
        compare(tensors["sched_alphas_cumprod_f64"], alphas, exact),
        compare(tensors["sched_final_alpha_cumprod"], ours.final_alpha_cumprod, exact),
        compare(tensors["audio_tokens"], audio, tolerance(recording, "bank32")),
        equal([recording.setting("t")], [int(tensors["timestep"])]),
    ]


KINDS = {"C3": _loop_cases}
