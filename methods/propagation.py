"""TokenFlow's two passes over the network: keyframes jointly, then all frames by propagation.

In both the source branch goes first and alone; what it leaves serves every edit of the clip.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.attention import (
    PNP_ATTENTION,
    PNP_FEATURES,
    ExtendedAttention,
    Projection,
    RecordedAttention,
    control,
    plain_attention,
    record_output,
    self_attention_sites,
)
from methods.correspondence import (
    MatchedAttention,
    Matches,
    PropagatedAttention,
    RecordedSite,
)
from methods.injection import SourceFeatures
from methods.routes import Route
from methods.sampling import Branches

if TYPE_CHECKING:
    from torch import Tensor

    from methods.backbones.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class SourceRecord:
    """What other frames take from the source branch of K keyframes, by self-attention site."""

    tokens: Mapping[str, Tensor]  # (K, S, C) normed tokens, the attention's input
    outputs: Mapping[str, Tensor]  # (K, S, C) its output


@dataclass(frozen=True)
class SourceKeyframes(SourceRecord):
    """What the source branch leaves on K keyframes: for other frames, and for their own edit."""

    features: SourceFeatures


@dataclass(frozen=True)
class SourceFrames:
    """What the source branch leaves on n frames."""

    matches: Matches
    features: SourceFeatures


def read_keyframes(
    backbone: StableDiffusion,
    branches: Branches,
    sites: Collection[str] = PNP_ATTENTION,
    residual_at: str = PNP_FEATURES,
) -> SourceKeyframes:
    """The source branch on the keyframes, each by itself.

    ``sites``: where attention may be injected; ``residual_at``: where residual features may.
    """
    tokens: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    projections: dict[str, Projection] = {}
    residual: dict[str, Tensor] = {}
    processors = {
        site: RecordedSite(
            site,
            RecordedAttention(site, projections) if site in sites else plain_attention,
            outputs,
            tokens,
        )
        for site in self_attention_sites(backbone.unet)
    }
    with control(backbone.unet, processors, {residual_at: record_output(residual, residual_at)}):
        noise = branches.read(backbone)
    features = SourceFeatures(projections, residual_at, residual[residual_at], noise)
    return SourceKeyframes(tokens, outputs, features)


def edit_keyframes(
    backbone: StableDiffusion,
    branches: Branches,
    source: SourceKeyframes,
    *,
    injected: Collection[str],
    features: bool,
    windows: Mapping[str, int] | None = None,
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """The keyframe pass: noise of the two edited branches and every site's (2 K, S, C) outputs.

    ``injected``: sites that use the source's queries and keys; ``features``: inject the source's
    residual features; ``windows``: sites that attend to fewer than all keyframes.
    """
    windows = windows or {}
    outputs: dict[str, Tensor] = {}
    projections = source.features.projections
    processors = {
        site: RecordedSite(
            site,
            ExtendedAttention(
                windows.get(site, 0), projections[site] if site in injected else None
            ),
            outputs,
        )
        for site in self_attention_sites(backbone.unet)
    }
    with control(backbone.unet, processors, source.features.hooks(features)):
        return branches.edit(backbone), outputs


def read_frames(
    backbone: StableDiffusion,
    branches: Branches,
    source: SourceRecord,
    way: Route,
    residual_at: str = PNP_FEATURES,
) -> SourceFrames:
    """The source branch on any frames: match their tokens with those of the keyframes."""
    matches: Matches = {}
    residual: dict[str, Tensor] = {}
    processors = {
        site: MatchedAttention(site, source.tokens, source.outputs, way, matches)
        for site in source.tokens
    }
    with control(backbone.unet, processors, {residual_at: record_output(residual, residual_at)}):
        noise = branches.read(backbone)
    features = SourceFeatures({}, residual_at, residual[residual_at], noise)
    return SourceFrames(matches, features)


def propagate(
    backbone: StableDiffusion,
    branches: Branches,
    source: SourceFrames,
    outputs: Mapping[str, Tensor],
    way: Route,
    *,
    features: bool,
) -> tuple[Tensor, ...]:
    """The pass over any frames: attention is replaced by what ``way`` takes from keyframes.

    Gives the noise of the two edited branches.
    """
    processors = {site: PropagatedAttention(site, outputs, way, source.matches) for site in outputs}
    with control(backbone.unet, processors, source.features.hooks(features)):
        return branches.edit(backbone)
