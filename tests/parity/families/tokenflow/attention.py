"""One self-attention with recorded weights: extended over all frames or over a window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import torch
from diffusers.models.attention_processor import Attention

from methods.attention import ExtendedAttention, Projection, RecordedAttention
from tests.parity.compare import Comparison, compare
from tests.parity.families.tokenflow.common import tolerance
from tests.parity.recording import Recording
from tests.parity.run import Case

OUTPUT = re.compile(r"out\.(?P<clip>n\d+)\.(full|window(?P<window>\d+))\.inject_(?P<inject>on|off)")
WEIGHT = "in.weight."


def attention_cases(recording: Recording) -> Iterator[Case]:
    """One case per output, whose name says frames, window and injection."""
    attention = _attention(recording)
    for name in recording.tensors:
        if found := OUTPUT.fullmatch(name):
            yield name.removeprefix("out."), partial(_compare, recording, attention, name, found)


def _attention(recording: Recording) -> Attention:
    dim, heads = recording.setting("dim"), recording.setting("heads")
    attention = Attention(dim, heads=heads, dim_head=dim // heads)
    attention.load_state_dict(
        {
            name.removeprefix(WEIGHT): recording.tensors[name]
            for name in recording.tensors
            if name.startswith(WEIGHT)
        }
    )
    return attention.to(recording.dtype).requires_grad_(False)


def _compare(
    recording: Recording, attention: Attention, name: str, found: re.Match[str]
) -> Iterator[Comparison]:
    """The source's frames each by itself, then the two edited branches across frames."""
    tokens = recording.tensors[f"in.{found['clip']}.x"].to(recording.dtype)
    source, edited = tokens[: len(tokens) // 3], tokens[len(tokens) // 3 :]
    record: dict[str, Projection] = {}
    outputs = [RecordedAttention("here", record)(attention, source)]
    injected = record["here"] if found["inject"] == "on" else None
    outputs.append(ExtendedAttention(int(found["window"] or 0), injected)(attention, edited))
    yield compare(recording.tensors[name], torch.cat(outputs), tolerance(recording))
