"""Step1X-Edit v1.0 (stepfun-ai/Step1X-Edit): parts, whole forward, schedule, loops, autoencoder.

What a recording is of shows in the tensors that it holds; widths, depths and steps are read from
weights and settings.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.parity.families.step1x.autoencoder import autoencoder_cases
from tests.parity.families.step1x.connector import connector_cases
from tests.parity.families.step1x.loop import loop_cases
from tests.parity.families.step1x.schedule import schedule_cases
from tests.parity.families.step1x.tokens import packing_cases, rope_cases
from tests.parity.families.step1x.transformer import block_cases, forward_cases
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case

REPOSITORIES = ("stepfun-ai/Step1X-Edit",)

#: The tensor that tells a kind.
KINDS = {
    "llm_embedding_zeropad": connector_cases,
    "q_rope": rope_cases,
    "packed": packing_cases,
    "double_img_out": block_cases,
    "h.img_in": forward_cases,
    "sched_0": schedule_cases,
    "latents_steps": loop_cases,
    "moments": autoencoder_cases,
}


def cases(recording: Recording) -> Iterator[Case]:
    """The cases of a recording, by the kind that its tensors show."""
    for mark, kind in KINDS.items():
        if mark in recording.tensors:
            return kind(recording)
    raise CannotRun("its tensors are of no kind that family step1x knows")
