"""Tokens: packing, position ids, rotary embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxPosEmbed
from torch import Tensor

from methods.backbones.step1x.packing import image_ids, pack, text_ids, unpack
from tests.parity.compare import Comparison
from tests.parity.families.step1x.common import held
from tests.parity.recording import Recording
from tests.parity.run import Case


def packing_cases(recording: Recording) -> Iterator[Case]:
    """There and back."""
    yield "packing", partial(_packing, recording)


def _packing(recording: Recording) -> Iterator[Comparison]:
    latents, reference = recording.tensors["latents"], recording.tensors["ref_latents"]
    packed = torch.cat([pack(latents), pack(reference)], dim=1)
    rows = len(recording.tensors["packed"])
    yield held(recording, "packed", packed.repeat(rows, 1, 1))
    grid = (latents.shape[2] // 2, latents.shape[3] // 2)
    yield held(recording, "unpacked", unpack(packed[:, : packed.shape[1] // 2], grid))


def rope_cases(recording: Recording) -> Iterator[Case]:
    """Ids of text, target and reference, and what they do to queries and keys."""
    yield "ids", partial(_ids, recording)
    yield "rotary embedding", partial(_rope, recording)
    yield "rotary embedding at full size", partial(_full, recording)


def _grid(recording: Recording) -> tuple[int, int]:
    return recording.setting("h_tok"), recording.setting("w_tok")


def _ids(recording: Recording) -> Iterator[Comparison]:
    for name, ids in (
        ("txt_ids", text_ids(recording.tensors["txt_ids"].shape[1])),
        ("img_ids", image_ids(_grid(recording))),
    ):
        yield held(recording, name, ids.expand_as(recording.tensors[name]))


def _rope(recording: Recording) -> Iterator[Comparison]:
    tensors, theta = recording.tensors, recording.setting("theta")
    ids = torch.cat([text_ids(tensors["txt_ids"].shape[1]), image_ids(_grid(recording))])
    rotary = FluxPosEmbed(theta, recording.setting("axes_dim"))(ids)
    yield held(recording, "pe", _matrices(*rotary).expand_as(tensors["pe"]))
    for name in ("q", "k"):
        rotated = apply_rotary_emb(tensors[name].to(recording.dtype), rotary, sequence_dim=1)
        yield held(recording, f"{name}_rope", rotated)


def _full(recording: Recording) -> Iterator[Comparison]:
    expected = recording.tensors["full_pe"]
    width = 2 * expected.shape[3]
    axes = (width // 8, width * 7 // 16, width * 7 // 16)  # as released: 16, 56, 56 of 128
    rotary = FluxPosEmbed(recording.setting("theta"), axes)(recording.tensors["full_ids"][0])
    yield held(recording, "full_pe", _matrices(*rotary))


def _matrices(cos: Tensor, sin: Tensor) -> Tensor:
    """(1, 1, L, D/2, 2, 2) rotations, as the original keeps them, of diffusers' doubled tables."""
    c, s = cos[:, ::2], sin[:, ::2]
    return torch.stack([c, -s, s, c], dim=-1).unflatten(-1, (2, 2))[None, None]
