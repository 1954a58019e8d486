"""B: the inflated network's answer and its attention maps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from methods.attention import control
from methods.inflation import ClipAttention, Inflation
from methods.source_pass import frame_list as frames_at
from methods.source_pass import inflated
from tests.parity.compare import Comparison, compare
from tests.parity.families.fatezero.common import (
    compare_statistics,
    inflation_of,
    network,
    stored_sites,
    tolerance,
    weights_folder,
)
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case

WHOLE, LOW_RANK = "temporal_random_conv1d", "temporal_random_lora{}_convs"


def network_cases(recording: Recording) -> Iterator[Case]:
    """One case per forward pass."""
    unet = network(weights_folder(recording), recording.dtype)
    for case in recording.manifest["cases"]:
        yield case["id"], partial(_compare, recording, unet, case)


def temporal_weights(recording: Recording, case: dict[str, Any]) -> dict[str, Tensor]:
    """Weights of a case's temporal layers: none, the biases it was built with, or shared ones."""
    kind, prefix = case["temporal"], f"{case['id']}.bias."
    if kind == "identity":
        return {}
    if kind == "built":
        names = [name for name in recording.tensors if name.startswith(prefix)]
        weights = {name.removeprefix(prefix): recording.tensors[name] for name in names}
    elif kind == "random":
        folder = weights_folder(recording).parent
        weights = load_shared(folder / f"{WHOLE}.safetensors")
        if rank := case["model_config"].get("lora"):
            attention = {n: t for n, t in weights.items() if ".conv_temporal." not in n}
            weights = attention | load_shared(folder / f"{LOW_RANK.format(rank)}.safetensors")
    else:
        raise CannotRun(f"temporal layers '{kind}'")
    return {name: value.to(recording.dtype) for name, value in weights.items()}


def load_shared(path: Path) -> dict[str, Tensor]:
    """Weights that several sets share."""
    if not path.is_file():
        raise CannotRun(f"{path} is missing")
    return load_file(path)


def _compare(
    recording: Recording, unet: UNet2DConditionModel, case: dict[str, Any]
) -> Iterator[Comparison]:
    tensors, within, name = recording.tensors, tolerance(recording), case["id"]
    sample = tensors[f"{name}.sample"].to(recording.dtype)  # (b, 4, n, h, w)
    n = sample.shape[2]
    text = tensors[f"{name}.encoder_hidden_states"].to(recording.dtype)
    inflation = inflation_of(unet, case["model_config"])
    groups = stored_sites(unet, *sample.shape[-2:])
    maps: dict[str, Tensor] = {}
    with (
        inflated(unet, inflation, n, temporal_weights(recording, case)),
        control(
            unet,
            {site: _keeper(unet, inflation, site, n, maps) for g in groups.values() for site in g},
        ),
    ):
        frames = sample.transpose(1, 2).flatten(0, 1)
        answer = unet(frames, case["t"], text.repeat_interleave(n, dim=0)).sample
    out = answer.unflatten(0, (-1, n)).transpose(1, 2)
    yield compare(tensors[case["out"]], out, within)
    if not case.get("low_resource", True):  # the original keeps the conditional half only
        maps = {site: x[len(x) // 2 :] for site, x in maps.items()}
    by_key = {key: [maps[site] for site in sites] for key, sites in groups.items()}
    yield from compare_statistics(case.get("stored", {}), by_key, within)
    for key, index in case.get("save_maps", []):
        yield compare(tensors[f"{name}.map.{key}.{index}"], by_key[key][index], within)


def _keeper(
    unet: UNet2DConditionModel, inflation: Inflation, site: str, n: int, maps: dict[str, Tensor]
) -> ClipAttention:
    def keep(own: Tensor) -> Tensor:
        maps[site] = own
        return own

    return ClipAttention(n, frames_at(unet, site, inflation), keep)
