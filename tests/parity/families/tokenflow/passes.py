"""One timestep pass by pass: the network as it is, then keyframes and every batch in each mode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from methods.attention import PNP_ATTENTION, self_attention_sites
from methods.correspondence import Keyframes, Matches, route
from methods.propagation import edit_keyframes, propagate
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
    noise = branches[: recording.setting("batch_size")].noise(backbone)
    yield compare(recording.tensors["out.plain.noise_pred"], torch.cat(noise), tolerance(recording))


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
    noise, record = edit_keyframes(
        backbone,
        branches[keyframes],
        injected=everywhere if always else PNP_ATTENTION if options["attn_injection"] else (),
        features=features,
        windows=_windows(everywhere, mode, options["window"]),
    )
    yield compare(recording.tensors[f"{out}pivotal.noise_pred"], torch.cat(noise), within)
    yield from _kept(recording, f"{out}pivotal.", record)
    for batch in range(len(keyframes)):
        frames, matches = range(batch * size, (batch + 1) * size), {}
        part = branches[frames.start : frames.stop]
        way = route(frames, size)
        noise = propagate(backbone, part, record, way, features=features, matches=matches)
        key = f"{out}batch{batch}."
        yield compare(recording.tensors[f"{key}noise_pred"], torch.cat(noise), within)
        yield from _matched(recording, key, matches)


def _windows(sites: list[str], mode: str, where: str | None) -> dict[str, int]:
    """Width by site: ``all16``, or ``literal``: only sites without injection; none otherwise."""
    if where is None:
        return {}
    width = re.search(r"window(\d+)", mode)
    if where not in ("all16", "literal") or width is None:
        raise CannotRun(f"mode '{mode}' with window '{where}'")
    return {s: int(width[1]) for s in sites if where == "all16" or s not in PNP_ATTENTION}


def _kept(
    recording: Recording, prefix: str, record: Mapping[str, Keyframes]
) -> Iterator[Comparison]:
    """What the keyframe pass keeps. Of the normed tokens only the source's are ever used."""
    for site, kept in record.items():
        block = site.removesuffix(".attn1")
        if f"{prefix}attn_out.{block}" in recording.tensors:
            tokens = recording.tensors[f"{prefix}norm_hidden.{block}"][0]
            outputs = recording.tensors[f"{prefix}attn_out.{block}"]
            yield compare(tokens, kept.source, tolerance(recording))
            yield compare(outputs, kept.outputs.flatten(0, 1), tolerance(recording))


def _matched(recording: Recording, prefix: str, matches: Matches) -> Iterator[Comparison]:
    """Indices of matched tokens: the absolute error is how many of a site's differ."""
    for site, found in matches.items():
        for which, indices in enumerate(found):
            name = f"{prefix}match{which}.{site.removesuffix('.attn1')}"
            if name in recording.tensors:
                off = equal(recording.tensors[name].tolist(), indices.flatten().tolist())
                yield Comparison(off.absolute, off.relative, Tolerance(FLIPS, 1))
