"""What a recording of FateZero's edits is replayed with: its network, and our own run of a case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from diffusers import DDIMScheduler
from torch import Tensor
from transformers import CLIPTokenizer

from data.clip import Clip, Edit
from methods.base import Context, State
from methods.ddim import STABLE_DIFFUSION
from methods.fatezero import FateZero, FateZeroPlan
from methods.inversion import Inversion, invert
from methods.source_pass import SourcePass, read_source
from tests.parity.families.fatezero.common import (
    inflation_of,
    network,
    steps,
    weights_folder,
    word_shares,
)
from tests.parity.recorded import RecordedBackbone
from tests.parity.recording import CannotRun, Recording


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


def frames_of(recorded: Tensor) -> Tensor:
    """(..., 1, 4, n, h, w) to (..., n, 4, h, w)."""
    return recorded.squeeze(-5).transpose(-4, -3)
