"""C: inversion with its maps, plain sampling, and whole edits, by method ``fatezero`` itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from math import inf
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor
from transformers import CLIPTokenizer

from data.clip import Clip, Edit
from methods.base import Context, State
from methods.blending import spread, word_mask, words_seen
from methods.ddim import STABLE_DIFFUSION
from methods.fatezero import FateZero, FateZeroPlan
from methods.inversion import Inversion, invert
from methods.map_sites import map_sizes, mask_sites
from methods.prompt_edit_step import read_prompts, replaced_share
from methods.source_pass import SourcePass, read_source
from methods.word_aligner import Refinement, align, token_weights
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.fatezero.common import (
    compare_statistics,
    inflation_of,
    network,
    steps,
    stored_sites,
    tolerance,
    weights_folder,
    word_shares,
)
from tests.parity.recorded import RecordedBackbone
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case

LATENTS, EDITED, MAPS = "inversion latents", "edit latents", "attention maps"
NEAR = 1e-4  # a mask may differ where its map is as near to the threshold (the manifest's words)
SOFT = Tolerance(NEAR, inf)


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
            yield f"{case['id']} attention masks", partial(_attention_masks, run, case)
        if "latent_blend" in case:
            yield f"{case['id']} latent masks", partial(_latent_masks, run, case)


@dataclass(eq=False)
class Run:
    """What a recording's cases have in common."""

    recording: Recording

    @cached_property
    def backbone(self) -> RecordedBackbone:
        """The network, the tokenizer and the recorded embeddings by prompt."""
        manifest, tensors = self.recording.manifest, self.recording.tensors
        if not manifest["temporal"].startswith("identity"):
            raise CannotRun(f"temporal layers {manifest['temporal']}")
        scheduler = {k: v for k, v in manifest["scheduler"].items() if k not in ("class", "eta")}
        prompts = [("", "text.uncond"), (self.source, "source.cond")]
        prompts += [(case["target"], f"{case['id']}.target_cond") for case in manifest["cases"]]
        if "baseline" in manifest:
            prompts.append((manifest["baseline"]["prompt"], "baseline.target_cond"))
        return RecordedBackbone(
            unet=network(weights_folder(self.recording), self.recording.dtype),
            scheduler=DDIMScheduler(**scheduler),
            tokenizer=CLIPTokenizer.from_pretrained(
                (self.recording.path.parent / manifest["tokenizer"].split()[0]).resolve()
            ),
            recorded={prompt: tensors[name][0] for prompt, name in prompts},
        )

    @property
    def source(self) -> str:
        """The source prompt."""
        return self.recording.setting("source")

    @property
    def trajectory(self) -> Tensor:
        """(steps + 1, n, 4, h, w) recorded latents of the inversion, the clean ones first."""
        return self.recording.tensors["inv.latents_all_step"][:, 0].transpose(1, 2)

    @cached_property
    def inversion(self) -> Inversion:
        """Our own, from the recorded clean latents."""
        spec = FateZero().inversion(self.setting(), self.source)
        return invert(self.backbone, self.trajectory[0], spec)

    def setting(self, case: dict[str, Any] | None = None) -> FateZero.Setting:
        """A case's setting in our words; none: nothing is taken from the source."""
        given = case["settings"] if case else {}
        own = steps(given.get("self_replace_steps", 0.0))
        cross, words = word_shares(given.get("cross_replace_steps", 0.0))
        weights = given.get("eq_params", {"words": [], "values": []})
        inflation = inflation_of(self.backbone.unet, self.recording.setting("model_config"))
        known = case["target"].split(" ") if case else ()
        return FateZero.Setting(
            n_timesteps=self.recording.setting("steps"),
            guidance_scale=self.recording.setting("guidance"),
            controller="auto" if given.get("is_replace_controller") else "refine",
            cross_replace_start=cross[0],
            cross_replace_steps=cross[1],
            word_steps=[entry for entry in words if entry[0] in known],
            word_weights=[
                pair
                for pair in zip(weights["words"], weights["values"], strict=True)
                if pair[0] in known
            ],
            self_replace_start=own[0],
            self_replace_steps=own[1],
            blend_self_attention=given.get("blend_self_attention", False),
            blend_latents=given.get("blend_latents", False),
            blend_th=given.get("blend_th", [0.3])[0],
            attend=inflation.attend,
            plain_levels=inflation.plain_levels,
        )

    def context(self, case: dict[str, Any] | None, prompt: str) -> Context:
        """What the method sees of a case."""
        words = case["settings"].get("blend_words") if case else None
        pairs = ((" ".join(words[0]), " ".join(words[1])),) if words else ()
        clip = Clip("recorded", "golden", np.empty((len(self.trajectory[0]), 0, 0, 3)), self.source)
        edit = Edit("recorded", "", prompt, pairs)
        return Context(clip, edit, self.setting(case), 0, self.backbone, self.inversion)

    def steps(self, case: dict[str, Any] | None, prompt: str) -> list[Step]:
        """Every step of our own run."""
        method, ctx = FateZero(), self.context(case, prompt)
        state, done = method.start(ctx), []
        for k, plan in enumerate(method.plan(ctx.setting, len(state.latents))):
            before, state = state, method.step(ctx, state.fork(), plan, k)
            done.append(Step(ctx, plan, k, before, state))
        return done

    @cache  # noqa: B019 (a run lives as long as its cases)
    def edited(self, case_id: str) -> list[Step]:
        """Every step of a case."""
        case = next(c for c in self.recording.manifest["cases"] if c["id"] == case_id)
        return self.steps(case, case["target"])

    @cache  # noqa: B019
    def source_pass(self, index: int) -> SourcePass:
        """The pass of an inversion step, from recorded latents."""
        t = STABLE_DIFFUSION.timesteps(self.recording.setting("steps"))[::-1][index]
        embedding = self.backbone.embed([self.source])
        inflation = self.inversion.spec.inflation
        return read_source(self.backbone, self.trajectory[index], embedding, t, inflation)


class Step(NamedTuple):
    """One step of a run."""

    ctx: Context
    plan: FateZeroPlan
    k: int
    before: State
    after: State


def _frames(recorded: Tensor) -> Tensor:
    """(..., 1, 4, n, h, w) to (..., n, 4, h, w)."""
    return recorded.squeeze(-5).transpose(-4, -3)


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
    expected = _frames(run.recording.tensors["baseline.final"])
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
    expected = _frames(run.recording.tensors[f"{case['id']}.latents"])
    for step in run.edited(case["id"]):
        yield compare(expected[step.k], step.after.latents, within)


def _attention_masks(run: Run, case: dict[str, Any]) -> Iterator[Comparison]:
    """The source's words in the inversion's own maps, at every size of map."""
    tensors, threshold = run.recording.tensors, case["settings"]["blend_th"][0]
    unet, ctx = run.backbone.unet, run.context(case, case["target"])
    prompts = read_prompts(ctx, FateZero().plan(ctx.setting, 1)[0])
    sites, size = mask_sites(map_sizes(unet, *run.trajectory.shape[-2:]), ctx.setting.mask_size)
    prefix = f"{case['id']}.attn_mask"
    for name in (name for name in tensors if name.startswith(prefix)):
        kind, step, side = name.removeprefix(f"{case['id']}.").split(".")
        maps = run.source_pass(int(step[1:])).maps(unet, sites)
        seen = words_seen(maps, prompts.changed(0), size)
        yield from _mask(tensors[name][0], seen, (int(side[1:]),) * 2, threshold, "soft" in kind)


def _latent_masks(run: Run, case: dict[str, Any]) -> Iterator[Comparison]:
    """Masks of source and target in every step, and latents before they are blended."""
    tensors, name = run.recording.tensors, case["id"]
    within, threshold = tolerance(run.recording, EDITED), case["settings"]["blend_th"][0]
    unet, size = run.backbone.unet, run.trajectory.shape[-2:]
    unblended = iter(_frames(tensors[f"{name}.latents_before_blend"]))
    active = case["latent_blend"]["active_counters"]
    for step in run.edited(case["id"]):
        prompts = read_prompts(step.ctx, step.plan)
        sites, small = mask_sites(map_sizes(unet, *size), step.plan.mask_size)
        maps = run.source_pass(len(run.trajectory) - 2 - step.k).maps(unet, sites)
        seen = words_seen(maps, prompts.changed(0), small)
        both = (seen, step.after.extra["seen"])
        masks, soft = tensors[f"{name}.latent_mask"], tensors[f"{name}.latent_mask_soft_20"]
        yield from _mask(masks[step.k, 0], seen, size, threshold)
        yield from _mask(tensors[f"{name}.mask_list"][step.k, :, 0], seen, size, threshold)
        yield from _mask(masks[step.k, 1], both, size, threshold)
        for side, one in enumerate(both):
            yield compare(soft[step.k, side], spread(one, size)[:, ::2, ::2], SOFT)
        yield equal([int(step.k + 1 in active)], [int(step.plan.latent_mask is not None)])
        if step.plan.latent_mask is not None:
            method, plan = FateZero(), replace(step.plan, latent_mask=None)
            alone = method.step(step.ctx, step.before.fork(), plan, step.k)
            yield compare(next(unblended), alone.latents, within)


def _mask(
    expected: Tensor,
    seen: Tensor | tuple[Tensor, Tensor],
    size: tuple[int, int],
    threshold: float,
    soft: bool = False,
) -> Iterator[Comparison]:
    """A mask as recorded, but for pixels that lie at the threshold; or the map behind it."""
    each = seen if isinstance(seen, tuple) else (seen,)
    if soft:
        yield compare(expected, spread(each[0], size), SOFT)
        return
    ours = torch.stack([word_mask(x, size, threshold) for x in each]).any(0)
    near = torch.stack([(spread(x, size) - threshold).abs() <= NEAR for x in each]).any(0)
    expected = torch.where(near, ours, expected.bool())
    yield compare(expected.float(), ours.float(), Tolerance(0, 0))
