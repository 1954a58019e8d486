"""FateZero's source attention: memory by accounting at SD 1.5's size, and each place measured."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from bench.figures import Figure, agree, peak_bytes, seconds
from experiments.catalogue import project_catalogue
from experiments.clips import clip_loader
from experiments.planner import make_plan
from methods.base import Context
from methods.fatezero import FateZero
from methods.kept_passes import GB
from methods.map_sites import kept_sites, map_sizes

FRAMES, STEPS, SIDE, TOKENS = 8, 50, 64, 77  # 512x512 pixels, as released
CELL = """\
title: One edit
backbones: [world-tiny]
clips: [{dataset: world, first: 1, edits: [colour], frames: 2}]
methods: [{name: fatezero, setting: {n_timesteps: 6}}]
"""
PLACES = ("recompute", "device", "host", "disk")


def accounting(_device: str) -> Iterator[Figure]:
    """What the attention of SD 1.5 takes: as maps, as queries and keys, and in one step alone."""
    maps, projections = 0, 0  # numbers in one step
    with torch.device("meta"):
        network = UNet2DConditionModel(attention_head_dim=8, cross_attention_dim=768)
    sizes = map_sizes(network, SIDE, SIDE)
    for site in kept_sites(sizes):
        attention, queries = network.get_submodule(site), sizes[site][0] * sizes[site][1]
        keys = queries if site.endswith(".attn1") else TOKENS
        maps += FRAMES * attention.heads * queries * keys
        projections += FRAMES * (queries + keys) * attention.inner_dim
    read = sum(p.source_evaluations > 0 for p in FateZero().plan(FateZero.Setting(), FRAMES))
    name = f"SD 1.5, {FRAMES} frames, {STEPS} steps"
    yield Figure(f"{name}: maps of all steps, float16", maps * STEPS * 2 / GB, "GB")
    yield Figure(f"{name}: host, float32", projections * read * 4 / GB, "GB")
    yield Figure(f"{name}: host, float16", projections * read * 2 / GB, "GB", at_most=12)
    yield Figure(f"{name}: recompute, float32", projections * 4 / GB, "GB", at_most=12)


def places(device: str) -> Iterator[Figure]:
    """Time of an edit without its inversion, and memory, by where the attention waits."""
    catalogue = project_catalogue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.yaml"
        path.write_text(CELL)
        cell = next(iter(make_plan(path, catalogue).cells.values()))
    backbone = catalogue.load_backbone("world-tiny", device, "float32")
    clip = clip_loader(catalogue.dataset)(cell.clip)
    method, contexts = FateZero(), {}
    for place in PLACES:
        setting = cell.setting.model_copy(update={"keep": place})
        inversion = catalogue.invert(backbone, clip.frames, method.inversion(setting, clip.prompt))
        edit = clip.edits[cell.edit]
        contexts[place] = Context(clip, edit, setting, 0, backbone, inversion)

    latents: dict[str, Tensor] = {}

    def edited(place: str) -> None:
        ctx = contexts[place]
        state = method.start(ctx)
        for k, plan in enumerate(method.plan(ctx.setting, len(clip.frames))):
            state = method.step(ctx, state, plan, k)
        latents[place] = state.latents

    works = [lambda place=place: edited(place) for place in PLACES]
    times = seconds(*works, repeats=1)
    for place, work, time in zip(PLACES, works, times, strict=True):
        passes = contexts[place].inversion.passes
        held = peak_bytes(work) + (passes.bytes if passes and place != "disk" else 0)
        yield Figure(f"attention by {place}: time", time / times[0], "of recompute's")
        yield Figure(f"attention by {place}: most memory", held / 2**20, "MB")
        yield agree(f"attention by {place}", latents[place], latents["recompute"])
