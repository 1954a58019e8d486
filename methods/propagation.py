"""TokenFlow's two passes over the network: keyframes jointly, then all frames by propagation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from methods.attention import (
    PNP_FEATURES,
    ExtendedAttention,
    control,
    inject_first_branch,
    self_attention_sites,
)
from methods.correspondence import (
    KeyframeAttention,
    Keyframes,
    Matches,
    PropagatedAttention,
    Route,
)
from methods.lazy import lazy_import
from methods.sampling import Branches

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion
else:
    torch = lazy_import("torch")


def draw_keyframes(n_frames: int, batch_size: int, rng: torch.Generator) -> list[int]:
    """One frame index per batch of frames, uniform within it; the last batch may be short."""
    return [
        first + int(torch.randint(min(batch_size, n_frames - first), (), generator=rng))
        for first in range(0, n_frames, batch_size)
    ]


def edit_keyframes(
    backbone: StableDiffusion,
    branches: Branches,
    *,
    injected: Collection[str],
    features: bool,
    windows: Mapping[str, int] | None = None,
) -> tuple[tuple[Tensor, ...], dict[str, Keyframes]]:
    """The keyframe pass: noise of the three branches and every site's features.

    ``injected``: sites that use the source's queries and keys; ``features``: inject the source's
    residual features; ``windows``: sites that attend to fewer than all keyframes.
    """
    windows = windows or {}
    record: dict[str, Keyframes] = {}
    processors = {
        site: KeyframeAttention(
            site, ExtendedAttention(site in injected, windows.get(site, 0)), record
        )
        for site in self_attention_sites(backbone.unet)
    }
    with control(backbone.unet, processors, _feature_hooks(features)):
        return branches.noise(backbone), record


def propagate(
    backbone: StableDiffusion,
    branches: Branches,
    record: Mapping[str, Keyframes],
    way: Route,
    *,
    features: bool,
    matches: Matches | None = None,
) -> tuple[Tensor, ...]:
    """The pass over any frames: attention is replaced by what ``way`` takes from keyframes.

    Gives the noise of the three branches; fills ``matches`` with each site's token indices.
    """
    matches = {} if matches is None else matches
    processors = {site: PropagatedAttention(site, record, way, matches) for site in record}
    with control(backbone.unet, processors, _feature_hooks(features)):
        return branches.noise(backbone)


def _feature_hooks(features: bool) -> dict[str, object]:
    return {PNP_FEATURES: inject_first_branch(Branches.COUNT)} if features else {}
