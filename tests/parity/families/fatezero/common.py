"""What all kinds read alike: tolerances, frame lists, networks, statistics of maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from methods.inflation import Inflation
from methods.map_sites import LARGEST_MAP, map_sizes
from tests.parity.compare import Comparison, Tolerance, compare
from tests.parity.recording import CannotRun, Recording

DEFAULT_LIST = (-1, "first")
PARTS = ("down", "mid", "up")
FACTOR = 0.37  # of the cosine that a map's fourth statistic is taken with


def tolerance(recording: Recording, part: str = "") -> Tolerance:
    """The manifest's, or that of a part; ``rtol`` bounds the error's norm where it is stated."""
    stated = recording.manifest["tolerance"]
    stated = stated[part] if part else stated
    return Tolerance(stated["atol"], stated.get("rtol", inf))


def frame_list(settings: Mapping[str, Any]) -> tuple[int | str, ...]:
    """``SparseCausalAttention_index`` as our methods name frames."""
    given = settings.get("SparseCausalAttention_index", "DEFAULT")
    if given == "DEFAULT":
        return DEFAULT_LIST
    return tuple("mid" if entry == "middle" else entry for entry in given)


@lru_cache(maxsize=2)
def network(folder: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    """The two-dimensional network of a folder."""
    if not (folder / "config.json").is_file():
        raise CannotRun(f"the network {folder} is missing")
    loaded = UNet2DConditionModel.from_pretrained(folder, torch_dtype=dtype)
    return loaded.eval().requires_grad_(False)


def weights_folder(recording: Recording) -> Path:
    """Where the manifest says its network is, e.g. ``../shared/unet2d (2D) inflated with …``."""
    return (recording.path.parent / recording.manifest["weights"].split()[0]).resolve()


def inflation_of(unet: UNet2DConditionModel, config: Mapping[str, Any]) -> Inflation:
    """A ``model_config``'s frame list and the levels that stay without it."""
    least = config.get("least_sc_channel", 0) or 0
    plain = sum(channels < least for channels in unet.config.block_out_channels)
    return Inflation(frame_list(config), plain)


def stored_sites(unet: UNet2DConditionModel, height: int, width: int) -> dict[str, list[str]]:
    """Sites of the maps that the original keeps, by its keys: ``down_cross`` and so on."""
    kept = [s for s, (h, w) in map_sizes(unet, height, width).items() if h * w <= LARGEST_MAP]
    return {
        f"{part}_{kind}": [s for s in kept if s.startswith(part) and s.endswith(end)]
        for kind, end in (("cross", "attn2"), ("self", "attn1"))
        for part in PARTS
    }


def statistics(x: Tensor) -> list[float]:
    """Sum, sum of squares, maximum, and product with cos(0.37 i), as recorded."""
    flat = x.double().flatten()
    wave = torch.cos(FACTOR * torch.arange(len(flat), dtype=torch.float64))
    return [flat.sum().item(), (flat**2).sum().item(), flat.max().item(), (flat @ wave).item()]


def compare_statistics(
    expected: Mapping[str, Sequence[Any]],
    actual: Mapping[str, Sequence[Tensor]],
    within: Tolerance,
) -> Iterator[Comparison]:
    """Statistics of maps by key and place in the key's list.

    An error of ``atol`` in every entry, of random sign, is allowed for: times the root of a map's
    size in sums, once in its largest value.
    """
    for key, entries in expected.items():
        if len(entries) != len(actual.get(key, ())):
            raise CannotRun(f"{len(actual.get(key, ()))} maps {key}, recorded {len(entries)}")
        for entry, x in zip(entries, actual[key], strict=True):
            if isinstance(entry, dict):
                entry = [entry[name] for name in ("sum", "sumsq", "max", "dot_cos(0.37*i)")]
            ours, root = statistics(x), x.numel() ** 0.5
            for scale, a, b in zip((root, root, 1.0, root), entry, ours, strict=True):
                error = Tolerance(within.absolute * scale, inf)
                yield compare(torch.tensor([a]).double(), torch.tensor([b]).double(), error)


def word_shares(given: Any) -> tuple[tuple[float, float], list[tuple[str, float, float]]]:
    """``cross_replace_steps``: its share of steps, and words with shares of their own."""
    table = dict(given) if isinstance(given, dict) else {"default_": given}
    default = steps(table.pop("default_", 1.0))
    return default, [(word, *steps(share)) for word, share in table.items()]


def steps(share: float | Sequence[float]) -> tuple[float, float]:
    """A share of steps as its two ends."""
    return tuple(share) if isinstance(share, list | tuple) else (0.0, float(share))
