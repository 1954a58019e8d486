"""Whole denoising loops through the method: plain and rescaled guidance, and rounded times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.clip import Clip
from methods.backbones.step1x.backbone import Step1X
from methods.backbones.step1x.packing import pack
from methods.backbones.step1x.schedule import FlowSchedule, bfloat16, released_time
from methods.base import Context, State
from methods.instructed import REFERENCE
from methods.step1x_edit import Step1XEdit
from tests.parity.compare import Comparison, Tolerance
from tests.parity.families.step1x.common import near, network_of
from tests.parity.families.step1x.watch import outputs
from tests.parity.recording import Recording
from tests.parity.run import Case

ASKED = "the recorded instruction"


@dataclass(frozen=True)
class RecordedEncoder:
    """Conditions of a recording: its instruction's and the empty one's."""

    embeddings: Tensor
    mask: Tensor

    def encode(
        self, images: Sequence[np.ndarray], instructions: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """By instruction; images are not looked at."""
        rows = [0 if instruction == ASKED else 1 for instruction in instructions]
        return self.embeddings[rows], self.mask[rows]


class RecordedStep1X(Step1X):
    """A backbone without an autoencoder, whose frames have their working size."""

    def working_frames(self, frames: np.ndarray, size_level: int = 0) -> np.ndarray:
        """As given."""
        return frames


def loop_cases(recording: Recording) -> Iterator[Case]:
    """A case for each recorded loop."""
    exact, rescaled = {"bf16_times": False}, {"timesteps_truncate": recording.setting("trunc")}
    yield "times", partial(_times, recording)
    yield "plain", partial(_loop, recording, "", exact)
    yield "rescaled guidance", partial(_loop, recording, "_trunc", exact | rescaled)
    yield "rounded times", partial(_loop, recording, "_fp32_bf16times", {"bf16_times": True})
    yield "bfloat16", partial(_bfloat16, recording)


def _times(recording: Recording) -> Iterator[Comparison]:
    tensors, stated = recording.tensors, {"rtol": 1e-6, "atol": 1e-6}
    tokens = tensors["latents_steps"].shape[1]
    times = FlowSchedule().times(recording.setting("steps"), tokens)
    yield near(tensors["timesteps"], Tensor(times), stated)
    yield near(tensors["bf16_timesteps"], Tensor([bfloat16(t) for t in times]), stated)
    thousandths = Tensor([1000 * released_time(t) for t in times])
    yield near(tensors["bf16_timesteps_x1000"], thousandths, stated)


def _steps(
    recording: Recording, dtype: torch.dtype, values: dict[str, Any]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Target tokens after each step, the network's output, and the latents."""
    tensors = recording.tensors
    network = network_of(recording, dtype)
    embeddings = tensors["llm_embedding"], tensors["mask"]
    backbone = RecordedStep1X(network, None, RecordedEncoder(*embeddings), 0, dtype=dtype)
    frames = np.zeros((1, *recording.setting("hw"), 3), np.uint8)
    setting = Step1XEdit.Setting(
        num_inference_steps=recording.setting("steps"),
        guidance_scale=recording.setting("cfg"),
        **values,
    )
    edit = SimpleNamespace(id="recorded", instruction=ASKED)
    ctx = Context(Clip("recorded", "golden", frames, ""), edit, setting, 0, backbone)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    state = State(tensors["latents"].to(exact), {REFERENCE: tensors["ref_latents"].to(exact)})
    method = Step1XEdit()
    for k, plan in enumerate(method.plan(setting, 1)):
        with outputs({"out": network.transformer}) as seen:
            state = method.step(ctx, state, plan, k)
        yield pack(state.latents)[0], seen["out"][0], state.latents


def _loop(recording: Recording, name: str, values: dict[str, Any]) -> Iterator[Comparison]:
    tensors, stated = recording.tensors, recording.manifest["tolerance"]["fp32"]
    expected = tensors[f"latents_steps{name}"]
    predictions = f"preds{name}" in tensors
    steps = list(_steps(recording, recording.dtype, values))
    for k, (tokens, out, _) in enumerate(steps):
        yield near(expected[k], tokens, stated)
        if predictions:
            yield near(tensors[f"preds{name}"][k], out, stated)
    if not name:
        yield near(tensors["final_unpacked"], steps[-1][-1], stated)


def _bfloat16(recording: Recording) -> Iterator[Comparison]:
    """Held to the mean difference of each step, as the manifest asks."""
    within = Tolerance(recording.manifest["tolerance"]["bf16"]["mean_abs"], inf)
    expected = recording.tensors["latents_steps_bf16"]
    for k, (tokens, _, _) in enumerate(_steps(recording, torch.bfloat16, {})):
        yield Comparison((tokens - expected[k]).abs().mean().item(), 0.0, within)
