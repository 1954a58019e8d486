"""What all kinds read alike: tolerances, and the network made of the set's weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from methods.backbones.step1x.network import Step1XNetwork
from methods.backbones.step1x.official import official_network
from tests.parity.compare import Comparison, Tolerance, compare
from tests.parity.recording import CannotRun, Recording

WEIGHTS = "weights_dit.safetensors"


def near(expected: Tensor, actual: Tensor, stated: Mapping[str, float]) -> Comparison:
    """Held to ``atol + rtol * |expected|`` in every entry: what is beyond rtol's share, in atol."""
    if expected.shape != actual.shape:
        return Comparison(inf, inf, Tolerance(stated["atol"], inf))
    wanted, ours = expected.double(), actual.double()
    beyond = ((ours - wanted).abs() - stated["rtol"] * wanted.abs()).clamp(min=0)
    return compare(torch.zeros_like(beyond), beyond, Tolerance(stated["atol"], inf))


def held(recording: Recording, name: str, actual: Tensor) -> Comparison:
    """A tensor of the recording against ours, within the manifest's tolerance."""
    return near(recording.tensors[name], actual, recording.manifest["tolerance"])


def network_of(recording: Recording, dtype: torch.dtype | None = None) -> Step1XNetwork:
    """Connector and transformer of the recording's set; weights lie beside it."""
    path = recording.path.with_name(WEIGHTS)
    if not path.is_file():
        raise CannotRun(f"{path} is missing")
    return _network(path, dtype or recording.dtype)


@lru_cache(maxsize=3)
def _network(path: Path, dtype: torch.dtype) -> Step1XNetwork:
    weights = load_file(path)
    heads, axes = _unseen(path.parent)
    width = len(weights["connector.S.input_embedder.weight"])
    unseen = {"num_attention_heads": heads, "attention_head_dim": width // heads}
    network = official_network(weights, dtype, {"axes_dims_rope": tuple(axes)}, unseen)
    return network.eval().requires_grad_(False)


def _unseen(folder: Path) -> tuple[int, list[int]]:
    """The connector's heads and the rotary axes, which weights do not show."""
    stated = [_read(path) for path in (folder / "tiny_config.json", *sorted(folder.glob("*.json")))]
    heads = next(filter(None, (_find(s, ("cheads", "heads_num")) for s in stated)), None)
    axes = next(filter(None, (_find(s, ("axes", "axes_dim")) for s in stated)), None)
    if heads is None or axes is None:
        raise CannotRun(f"no JSON file in {folder} tells the connector's heads and rotary axes")
    return heads, axes


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _find(content: Any, names: tuple[str, ...]) -> Any:
    """The first value under one of the names, at any depth; tensors' descriptions aside."""
    if not isinstance(content, dict):
        return None
    for name in names:
        if name in content:
            return content[name]
    inner = (_find(value, names) for key, value in content.items() if key != "tensors")
    return next((value for value in inner if value is not None), None)
