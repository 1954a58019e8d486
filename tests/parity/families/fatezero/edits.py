"""C: inversion with its maps, plain sampling, and whole edits, by method ``fatezero`` itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from methods.ddim import STABLE_DIFFUSION
from methods.fatezero import FateZero
from methods.prompt_edit_step import read_prompts, replaced_share
from methods.word_aligner import Refinement, align, token_weights
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.fatezero.case_run import Run, frames_of
from tests.parity.families.fatezero.common import (
    compare_statistics,
    stored_sites,
    tolerance,
)
from tests.parity.families.fatezero.masks import attention_masks, latent_masks
from tests.parity.recording import Recording
from tests.parity.run import Case

LATENTS, EDITED, MAPS = "inversion latents", "edit latents", "attention maps"


def edit_cases(recording: Recording) -> Iterator[Case]:
    """Inversion and its maps, the plain sampling beside it, and every edit from start to end."""
    run = Run(recording)
    yield "inversion", partial(_inversion, run)
    yield "inversion maps", partial(_maps, run)
    if "baseline" in recording.manifest:
        yield "baseline", partial(_baseline, run)
    for case in recording.manifest["cases"]:
        yield f"{case['id']} tables", partial(_tables, run, case)
        yield f"{case['id']} latents", partial(_latents, run, case)
        if "attention_blend" in case:
            yield f"{case['id']} attention masks", partial(attention_masks, run, case)
        if "latent_blend" in case:
            yield f"{case['id']} latent masks", partial(latent_masks, run, case)


def _inversion(run: Run) -> Iterator[Comparison]:
    within, tensors = tolerance(run.recording, LATENTS), run.recording.tensors
    grid = STABLE_DIFFUSION.timesteps(run.recording.setting("steps"))
    yield equal(tensors["scheduler.timesteps"].tolist(), grid)
    alphas = run.backbone.scheduler.alphas_cumprod
    yield compare(tensors["scheduler.alphas_cumprod"], alphas, Tolerance(0, 0))
    for expected, t in zip(run.trajectory[1:], reversed(grid), strict=True):
        yield compare(expected, run.inversion.latents[t], within)


def _maps(run: Run) -> Iterator[Comparison]:
    """Statistics of all maps of all inversion steps, and the maps that were kept whole."""
    within, tensors = tolerance(run.recording, MAPS), run.recording.tensors
    unet = run.backbone.unet
    groups = stored_sites(unet, *run.trajectory.shape[-2:])
    kept = [name for name in tensors if name.startswith("inv.map.")]
    statistics = next(
        value
        for key, value in run.recording.manifest["inversion"].items()
        if key.startswith("stored_map_stats")
    )
    for index, expected in enumerate(statistics):
        source = run.source_pass(index)
        maps = {key: source.maps(unet, sites) for key, sites in groups.items()}
        yield from compare_statistics(expected, maps, within)
        for name in kept:
            step, key, layer, *frame = name.removeprefix("inv.map.").split(".")
            if step == f"step{index}":
                ours = maps[key][int(layer)]
                ours = ours[int(frame[0].removeprefix("frame"))] if frame else ours
                yield compare(tensors[name], ours, within)


def _baseline(run: Run) -> Iterator[Comparison]:
    *_, last = run.steps(None, run.recording.manifest["baseline"]["prompt"])
    expected = frames_of(run.recording.tensors["baseline.final"])
    yield compare(expected, last.after.latents, tolerance(run.recording, EDITED))


def _tables(run: Run, case: dict[str, Any]) -> Iterator[Comparison]:
    """Mapper, word weights and the words replaced in every step, as the plan has them."""
    tensors, name, exact = run.recording.tensors, case["id"], Tolerance(1e-7, 1e-7)
    setting = run.setting(case)
    plans = FateZero().plan(setting, 1)
    prompts = read_prompts(run.context(case, case["target"]), plans[0])
    aligned = align(prompts.source, prompts.target, setting.controller)
    yield compare(tensors[f"{name}.mapper"][0], aligned.mapper, exact)
    if isinstance(aligned, Refinement):
        yield compare(tensors[f"{name}.alphas"].flatten(), aligned.shares, exact)
    if "eq_params" in case["settings"]:
        weights = torch.from_numpy(token_weights(prompts.target, setting.word_weights))
        yield compare(tensors[f"{name}.equalizer"][0], weights, exact)
    expected = tensors[f"{name}.cross_replace_alpha"].flatten(1)
    for plan, row in zip(plans, expected, strict=False):  # recorded with a row past the last step
        yield compare(row, replaced_share(prompts.target, plan), exact)
    own = [k for k, plan in enumerate(plans) if plan.replace_self]
    yield equal(list(range(*case["num_self_replace"])), own)


def _latents(run: Run, case: dict[str, Any]) -> Iterator[Comparison]:
    """From our own inversion to the end, after every step."""
    within = tolerance(run.recording, EDITED)
    expected = frames_of(run.recording.tensors[f"{case['id']}.latents"])
    for step in run.edited(case["id"]):
        yield compare(expected[step.k], step.after.latents, within)
