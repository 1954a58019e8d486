"""One timestep pass by pass: the network as it is, then keyframes and every batch in each mode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from methods.attention import PNP_ATTENTION, self_attention_sites
from methods.correspondence import Matches
from methods.propagation import (
    SourceKeyframes,
    edit_keyframes,
    propagate,
    read_frames,
    read_keyframes,
)
from methods.routes import released_route
from methods.sampling import Branches
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.tokenflow.common import backbone_of, tolerance
from tests.parity.recorded import RecordedBackbone
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case

FLIPS = 3  # "a handful" of a site's tokens may go to their second best match (the README's words)


def pass_cases(recording: Recording) -> Iterator[Case]:
    """The network as it is first: it says whether the weights load as they were."""
    backbone, tensors = backbone_of(recording), recording.tensors
    text = backbone.embed(["source", "uncond", "cond"])
    timestep = int(tensors["in.timestep"])
    branches = Branches(tensors["in.source_latents"], tensors["in.latents"], text, timestep)
    yield "plain", partial(_plain, recording, backbone, branches)
    for mode, options in recording.setting("modes").items():
        there = replace(branches, timestep=options["timestep"])
        yield mode, partial(_passes, recording, backbone, there, mode, options)


def _plain(
    recording: Recording, backbone: RecordedBackbone, branches: Branches
) -> Iterator[Comparison]:
    first = branches[: recording.setting("batch_size")]
    noise = torch.cat([first.read(backbone), *first.edit(backbone)])
    yield compare(recording.tensors["out.plain.noise_pred"], noise, tolerance(recording))


def _passes(
    recording: Recording,
    backbone: RecordedBackbone,
    branches: Branches,
    mode: str,
    options: Mapping[str, Any],
) -> Iterator[Comparison]:
    within, size, out = tolerance(recording), recording.setting("batch_size"), f"out.{mode}."
    everywhere = self_attention_sites(backbone.unet)
    always = options["timestep"] == 1000  # the original's clause, dead with SD's timesteps
    features = always or options["conv_injection"]
    keyframes = recording.tensors["in.pivotal_idx"].tolist()
    source = read_keyframes(backbone, branches[keyframes], everywhere if always else PNP_ATTENTION)
    noise, outputs = edit_keyframes(
        backbone,
        branches[keyframes],
        source,
        injected=source.features.projections if always or options["attn_injection"] else (),
        features=features,
        windows=_windows(everywhere, mode, options["window"]),
    )
    noise = torch.cat([source.features.noise, *noise])
    yield compare(recording.tensors[f"{out}pivotal.noise_pred"], noise, within)
    yield from _kept(recording, f"{out}pivotal.", source, outputs)
    for batch in range(len(keyframes)):
        frames = range(batch * size, (batch + 1) * size)
        part, way = branches[frames.start : frames.stop], released_route(frames, size)
        seen = read_frames(backbone, part, source, way)
        noise = propagate(backbone, part, seen, outputs, way, features=features)
        noise = torch.cat([seen.features.noise, *noise])
        key = f"{out}batch{batch}."
        yield compare(recording.tensors[f"{key}noise_pred"], noise, within)
        yield from _matched(recording, key, seen.matches)


def _windows(sites: list[str], mode: str, where: str | None) -> dict[str, int]:
    """Width by site: ``all16``, or ``literal``: only sites without injection; none otherwise."""
    if where is None:
        return {}
    width = re.search(r"window(\d+)", mode)
    if where not in ("all16", "literal") or width is None:
        raise CannotRun(f"mode '{mode}' with window '{where}'")
    return {s: int(width[1]) for s in sites if where == "all16" or s not in PNP_ATTENTION}


def _kept(
    recording: Recording, prefix: str, source: SourceKeyframes, outputs: Mapping[str, Tensor]
) -> Iterator[Comparison]:
    """What the keyframe pass keeps. Of the normed tokens only the source's are ever used."""
    for site, edited in outputs.items():
        block = site.removesuffix(".attn1")
        if f"{prefix}attn_out.{block}" in recording.tensors:
            tokens = recording.tensors[f"{prefix}norm_hidden.{block}"][0]
            expected = recording.tensors[f"{prefix}attn_out.{block}"]
            yield compare(tokens, source.tokens[site], tolerance(recording))
            ours = torch.cat([source.outputs[site], edited])
            yield compare(expected, ours, tolerance(recording))


def _matched(recording: Recording, prefix: str, matches: Matches) -> Iterator[Comparison]:
    """Indices of matched tokens: the absolute error is how many of a site's differ."""
    for site, found in matches.items():
        for which, indices in enumerate(found):
            name = f"{prefix}match{which}.{site.removesuffix('.attn1')}"
            if name in recording.tensors:
                off = equal(recording.tensors[name].tolist(), indices.flatten().tolist())
                yield Comparison(off.absolute, off.relative, Tolerance(FLIPS, 1))
