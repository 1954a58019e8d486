"""Recorded weights, tolerances and networks."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from methods.backbones.hallo.convert import config_of
from methods.backbones.hallo.net import HalloNet
from tests.parity.compare import Comparison, Tolerance, compare
from tests.parity.recording import CannotRun, Recording

Network = TypeVar("Network", bound=nn.Module)


def tolerance(recording: Recording, bank: str = "") -> Tolerance:
    """The manifest's; an absent or zero relative one bounds nothing."""
    given = recording.manifest["tolerance"]
    given = given.get(bank, given)
    return Tolerance(given["atol"], given.get("rtol") or inf)


def real(recording: Recording, name: str) -> Tensor:
    """A tensor in the dtype that is computed in."""
    return recording.tensors[name].to(recording.dtype)


def held(recording: Recording, expected: dict[str, Tensor], bank: str = "") -> list[Comparison]:
    """Results against the recorded tensors of their names."""
    within = tolerance(recording, bank)
    return [compare(recording.tensors[name], x, within) for name, x in expected.items()]


def loaded(network: Network, recording: Recording, prefix: str) -> Network:
    """A module with the recording's own weights of a prefix, all of them and no others."""
    names = [name for name in recording.tensors if name.startswith(prefix)]
    network.load_state_dict({n.removeprefix(prefix): recording.tensors[n] for n in names})
    return network.to(recording.dtype).eval().requires_grad_(False)


def weights(recording: Recording) -> dict[str, Tensor]:
    """The networks' weights beside the manifest, or in another set where sets share them."""
    return _weights(_file(recording.path.parent))


def network(recording: Recording) -> HalloNet:
    """All five networks at the recording's size."""
    sizes = {
        "attention_heads": recording.setting("heads"),
        "motion_heads": recording.setting("mm_heads"),
        "norm_num_groups": recording.setting("groups"),
        "audio_layers": 1,  # only the product of layers and width shows, and counts
    }
    return _network(_file(recording.path.parent), recording.dtype, tuple(sizes.items()))


def frames_first(clips: Tensor) -> Tensor:
    """(b, c, f, h, w), as recorded, to (b, f, c, h, w) or back."""
    return clips.transpose(1, 2).contiguous()


def _file(beside: Path) -> Path:
    name = "weights_net.safetensors"
    for path in (beside / name, *sorted(beside.parent.glob(f"*/{name}"))):
        if path.is_file():
            return path
    raise CannotRun(f"{name} is neither in {beside} nor in another set")


@lru_cache(maxsize=1)
def _weights(path: Path) -> dict[str, Tensor]:
    return load_file(path)


@lru_cache(maxsize=2)
def _network(path: Path, dtype: torch.dtype, sizes: tuple[tuple[str, Any], ...]) -> HalloNet:
    found = _weights(path)
    net = HalloNet(config_of({name: x.shape for name, x in found.items()}, **dict(sizes)))
    net.load_state_dict(found)
    return net.to(dtype).eval().requires_grad_(False)
