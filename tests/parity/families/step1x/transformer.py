"""The transformer's blocks one by one, and a whole pass with all that happens in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from methods.backbones.step1x.packing import image_ids
from tests.parity.compare import Comparison
from tests.parity.families.step1x.common import held, network_of
from tests.parity.families.step1x.watch import outputs
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case


def block_cases(recording: Recording) -> Iterator[Case]:
    """The first double-stream block, the first single-stream block, the last layer, QK norms."""
    yield "double block", partial(_double, recording)
    yield "single block", partial(_single, recording)
    yield "final layer", partial(_final, recording)
    yield "query and key norms", partial(_norms, recording)


def _inputs(recording: Recording, *names: str) -> list[Tensor]:
    return [recording.tensors[name].to(recording.dtype) for name in names]


@torch.inference_mode()
def _double(recording: Recording) -> Iterator[Comparison]:
    transformer = network_of(recording).transformer
    image, text, vector = _inputs(recording, "img", "txt", "vec")
    rotary = transformer.pos_embed(recording.tensors["ids"][0])
    text, image = transformer.transformer_blocks[0](
        image, text, temb=vector, image_rotary_emb=rotary
    )
    cos, sin = (table[:, ::2] for table in rotary)
    matrices = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
    yield held(recording, "pe", matrices.expand_as(recording.tensors["pe"]))
    yield held(recording, "double_img_out", image)
    yield held(recording, "double_txt_out", text)


@torch.inference_mode()
def _single(recording: Recording) -> Iterator[Comparison]:
    transformer = network_of(recording).transformer
    both, vector = _inputs(recording, "single_in", "vec")
    rotary = transformer.pos_embed(recording.tensors["ids"][0])
    length = recording.tensors["txt"].shape[1]
    parts = transformer.single_transformer_blocks[0](
        both[:, length:], both[:, :length], temb=vector, image_rotary_emb=rotary
    )
    yield held(recording, "single_out", torch.cat(parts, dim=1))


@torch.inference_mode()
def _final(recording: Recording) -> Iterator[Comparison]:
    transformer = network_of(recording).transformer
    image, vector = _inputs(recording, "final_in", "vec")
    out = transformer.proj_out(transformer.norm_out(image, vector))
    yield held(recording, "final_out", out)


@torch.inference_mode()
def _norms(recording: Recording) -> Iterator[Comparison]:
    attention = network_of(recording).transformer.transformer_blocks[0].attn
    (queries,) = _inputs(recording, "qknorm_q")
    yield held(recording, "qknorm_q_out", attention.norm_q(queries))
    keys = _rope_recording(recording).tensors["k"].to(recording.dtype)
    yield held(recording, "qknorm_k_out", attention.norm_k(keys))


def _rope_recording(recording: Recording) -> Recording:
    """The recording of the same set whose keys this one normalises."""
    from tests.parity.recording import find_recordings

    for found in find_recordings(recording.path.parent):
        if isinstance(found, Recording) and "k_rope" in found.manifest["tensors"]:
            return found
    raise CannotRun("the keys are in the set's recording of rotary embeddings, which is missing")


def forward_cases(recording: Recording) -> Iterator[Case]:
    """One pass."""
    yield "forward", partial(_forward, recording)


@torch.inference_mode()
def _forward(recording: Recording) -> Iterator[Comparison]:
    tensors, network = recording.tensors, network_of(recording)
    transformer = network.transformer
    embed = transformer.time_text_embed
    watched = {
        "time_freq": embed.time_proj,
        "h.time_in": embed.timestep_embedder,
        "h.vector_in": embed.text_embedder,
        "h.img_in": transformer.x_embedder,
        "h.txt_in": transformer.context_embedder,
    }
    watched |= {f"h.double{k}": block for k, block in enumerate(transformer.transformer_blocks)}
    watched |= {
        f"h.single{k}": block for k, block in enumerate(transformer.single_transformer_blocks)
    }
    tokens, embeddings, t = _inputs(recording, "img", "llm_embedding", "timesteps")
    grid = tuple(int(side) + 1 for side in tensors["img_ids"][0, :, 1:].amax(dim=0))
    with outputs(watched) as seen:
        prepared = network.connector.prepare(embeddings, tensors["mask"])
        out = network.predict(*tokens.chunk(2, dim=1), prepared, t, grid)
    yield held(recording, "img_ids", image_ids(grid).expand_as(tensors["img_ids"]))
    zeros = torch.zeros(embeddings.shape[1], 3)
    yield held(recording, "txt_ids", zeros.expand_as(tensors["txt_ids"]))
    for name, value in seen.items():
        if "double" in name:
            yield held(recording, f"{name}_txt", value[0])
            yield held(recording, f"{name}_img", value[1])
        elif "single" in name:
            yield held(recording, name, torch.cat(value, dim=1))
        else:
            yield held(recording, name, value)
    yield held(recording, "out", out)
