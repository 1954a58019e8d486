"""Times, rescaled guidance, working sizes and split quotes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor

from methods.backbones.step1x.guidance import divisor
from methods.backbones.step1x.packing import working_size
from methods.backbones.step1x.quotes import split_quoted
from methods.backbones.step1x.schedule import FlowSchedule
from tests.parity.compare import Comparison, equal
from tests.parity.families.step1x.common import held
from tests.parity.recording import Recording
from tests.parity.run import Case


def schedule_cases(recording: Recording) -> Iterator[Case]:
    """A case for each thing that the manifest lists."""
    yield "times", partial(_times, recording)
    yield "rescaled guidance", partial(_rescaled, recording)
    yield "working sizes", partial(_sizes, recording)
    yield "quotes", partial(_quotes, recording)


def _times(recording: Recording) -> Iterator[Comparison]:
    for k, (steps, tokens) in enumerate(recording.manifest["schedule_args"]):
        yield held(recording, f"sched_{k}", Tensor(FlowSchedule().times(steps, tokens)))
    steps = len(recording.tensors["sched_noshift"]) - 1
    unshifted = FlowSchedule(base_shift=0, max_shift=0).times(steps, 1)
    yield held(recording, "sched_noshift", Tensor(unshifted))


def _rescaled(recording: Recording) -> Iterator[Comparison]:
    norms = recording.tensors["diff_norm"].to(recording.dtype)
    yield held(recording, "diff_norm_k04", divisor(norms, 0.4))


def _sizes(recording: Recording) -> Iterator[Comparison]:
    for case in recording.manifest["resize_cases"]:
        yield equal(case["out_wh"], list(working_size(*case["in_wh"], case["size_level"])))


def _quotes(recording: Recording) -> Iterator[Comparison]:
    for case in recording.manifest["split_string_cases"]:
        letters = ["\0".join(pieces) for pieces in (case["out"], split_quoted(case["in"]))]
        expected, ours = (list(text.encode("utf-8")) for text in letters)
        yield equal(expected, ours)
