"""A: one sparse-causal self-attention with recorded weights, by frame list."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from diffusers.models.attention_processor import Attention
from torch import Tensor

from methods.inflation import ClipAttention
from tests.parity.compare import Comparison, compare
from tests.parity.families.fatezero.common import frame_list, tolerance
from tests.parity.recording import Recording
from tests.parity.run import Case

LAYERS = ("to_q", "to_k", "to_v", "to_out")


def attention_cases(recording: Recording) -> Iterator[Case]:
    """One case per frame list; each as a fused kernel computes it and with the map written out."""
    attention = _attention(recording)
    for case in recording.manifest["cases"]:
        yield case["id"], partial(_compare, recording, attention, case)


def _attention(recording: Recording) -> Attention:
    weights = {n: t for n, t in recording.tensors.items() if n.startswith(LAYERS)}
    heads, size = recording.setting("heads"), recording.setting("dim_head")
    bias = recording.manifest["settings"].get("qkv_bias", False)
    attention = Attention(weights["to_q.weight"].shape[1], heads=heads, dim_head=size, bias=bias)
    attention.load_state_dict(weights)
    return attention.to(recording.dtype).requires_grad_(False)


def _compare(
    recording: Recording, attention: Attention, case: dict[str, Any]
) -> Iterator[Comparison]:
    tokens, within = recording.tensors["hidden_states"].to(recording.dtype), tolerance(recording)
    listed = "SparseCausalAttention_index" in case
    n_frames = case.get("clip_length", recording.setting("clip_length")) if listed else 1
    frames = frame_list(case) if listed else ()
    maps: list[Tensor] = []

    def keep(own: Tensor) -> Tensor:
        maps.append(own)
        return own

    fused = ClipAttention(n_frames, frames)(attention, tokens)
    written = ClipAttention(n_frames, frames, keep)(attention, tokens)
    for name in (case["out"], case.get("registered", case["out"])):
        yield compare(recording.tensors[name], fused, within)
        yield compare(recording.tensors[name], written, within)
    if case.get("probs_saved"):
        yield compare(recording.tensors[f"{case['id']}.probs"], maps[0], within)
