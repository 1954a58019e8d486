"""The connector and its token refiner, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from tests.parity.compare import Comparison
from tests.parity.families.step1x.common import held, network_of
from tests.parity.families.step1x.watch import outputs
from tests.parity.recording import Recording
from tests.parity.run import Case


def connector_cases(recording: Recording) -> Iterator[Case]:
    """With padding of noise and of zeros, and the refiner without a mask."""
    yield "connector", partial(_connector, recording)
    yield "zero padding", partial(_zero_padding, recording)
    yield "refiner without mask", partial(_without_mask, recording)


@torch.inference_mode()
def _connector(recording: Recording) -> Iterator[Comparison]:
    tensors, dtype = recording.tensors, recording.dtype
    connector = network_of(recording).connector
    blocks = connector.refiner.token_refiner.refiner_blocks
    embed = connector.refiner.time_text_embed
    modules = {f"block{k}": block for k, block in enumerate(blocks)}
    modules |= {
        "t_freq": embed.time_proj,
        "t_emb": embed.timestep_embedder,
        "c_emb": embed.text_embedder,
        "x_in": connector.refiner.proj_in,
    }
    with outputs(modules) as seen:
        inputs = tensors["llm_embedding"].to(dtype), tensors["mask"], tensors["t"].to(dtype)
        text, pooled = connector(*inputs)
    for name, value in (seen | {"txt": text, "y": pooled}).items():
        yield held(recording, name, value)


@torch.inference_mode()
def _zero_padding(recording: Recording) -> Iterator[Comparison]:
    tensors, dtype = recording.tensors, recording.dtype
    embeddings = tensors["llm_embedding_zeropad"].to(dtype)
    inputs = embeddings, tensors["mask"], tensors["t"].to(dtype)
    text, pooled = network_of(recording).connector(*inputs)
    yield held(recording, "txt_zeropad", text)
    yield held(recording, "y_zeropad", pooled)


@torch.inference_mode()
def _without_mask(recording: Recording) -> Iterator[Comparison]:
    tensors, dtype = recording.tensors, recording.dtype
    refiner = network_of(recording).connector.refiner
    times = tensors["t"].to(dtype) * 1000
    text = refiner(tensors["llm_embedding"].to(dtype), times)
    yield held(recording, "refiner_nomask", text)
