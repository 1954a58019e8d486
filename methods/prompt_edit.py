"""Editing by attention maps: settings and plans that Prompt-to-Prompt and FateZero have in common.

Hertz et al., Prompt-to-Prompt, ICLR 2023, https://arxiv.org/abs/2208.01626, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from methods.base import Setting, StepPlan
from methods.ddim import STABLE_DIFFUSION
from methods.word_aligner import within

WordSteps = tuple[str, float, float]


class PromptEditSetting(Setting):
    """What the source's attention maps are used for, when, and for which words."""

    n_timesteps: int = Field(50, ge=1, le=500, description="denoising steps")
    guidance_scale: float = Field(7.5, ge=0, le=30, description="classifier-free guidance")
    negative_prompt: str = Field("", description="prompt of the unconditional branch")
    controller: Literal["auto", "replace", "refine"] = Field(
        "auto",
        description="the target's words from the source's word by word (as many words needed), or "
        "from aligned tokens with new ones left alone; auto replaces where it can",
    )
    cross_replace_start: float = Field(
        0, ge=0, le=1, description="share of steps before the source's cross-attention is taken"
    )
    cross_replace_steps: float = Field(
        0.8, ge=0, le=1, description="share of steps up to which cross-attention is taken"
    )
    word_steps: tuple[WordSteps, ...] = Field(
        (), description="[word, from, to]: other shares of steps for words of the target prompt"
    )
    word_weights: tuple[tuple[str, float], ...] = Field(
        (), description="[word, factor] for the attention to words of the target prompt"
    )
    self_replace_start: float = Field(
        0, ge=0, le=1, description="share of steps before the source's self-attention is taken"
    )
    self_replace_steps: float = Field(
        0.8, ge=0, le=1, description="share of steps up to which self-attention is taken"
    )
    blend_latents: bool = Field(
        False, description="outside the changed words' mask, take the source's latents"
    )
    blend_th: float = Field(
        0.3,
        ge=0,
        le=2,
        description="masks are where the changed words' attention exceeds this share of its "
        "largest value; from 1 on masks are empty and the source is taken everywhere",
    )
    mask_size: int = Field(
        16, ge=1, le=32, description="largest side of the attention maps that masks are made of"
    )

    @model_validator(mode="after")
    def _words_once(self) -> PromptEditSetting:
        for name in ("word_steps", "word_weights"):
            words = [entry[0] for entry in getattr(self, name)]
            if len(set(words)) < len(words):
                raise ValueError(f"{name} names a word twice: {', '.join(words)}")
        return self


@dataclass(frozen=True, kw_only=True)
class PromptEditPlan(StepPlan):
    """One step's switches; what is moot in a step has its neutral value, so that steps agree."""

    previous: int
    guidance_scale: float
    negative_prompt: str
    words: tuple[str, ...]  # all that the setting names; to be found before the first step
    controller: str
    replace_cross: bool
    replace_words: tuple[tuple[str, bool], ...]  # words that differ from ``replace_cross``
    word_weights: tuple[tuple[str, float], ...]
    replace_self: bool
    self_mask: float | None  # threshold of the mask inside of which self-attention is the edit's
    latent_mask: float | None  # the same for latents
    watch: bool  # where the words are seen is added up for later masks
    mask_size: int

    @property
    def takes_cross(self) -> bool:
        """Whether any word takes its cross-attention from the source."""
        return self.replace_cross or any(on for _, on in self.replace_words)


def switches(
    setting: PromptEditSetting,
    k: int,
    n_frames: int,
    *,
    blends: bool,
    self_mask: bool = False,
    adds_up_source: bool = False,
) -> dict[str, Any]:
    """The fields of step ``k``'s plan.

    ``blends``: latents may be blended in this step; ``self_mask``: self-attention is masked;
    ``adds_up_source``: masks of latents need the source's maps of all steps.

    Cross-attention counts in n + 1 steps and self-attention in n, as released.
    """
    n = setting.n_timesteps
    t = STABLE_DIFFUSION.timesteps(n)[k]
    cross = within((setting.cross_replace_start, setting.cross_replace_steps), n + 1, k)
    by_word = [(word, within((lo, hi), n + 1, k)) for word, lo, hi in setting.word_steps]
    words = tuple((word, on) for word, on in by_word if on != cross)
    takes = cross or any(on for _, on in words)
    own = within((setting.self_replace_start, setting.self_replace_steps), n, k)
    masked, blends = own and self_mask, blends and setting.blend_latents
    adds_up = adds_up_source and setting.blend_latents
    source = n_frames if takes or own or blends or adds_up else 0
    named = (*(w for w, *_ in setting.word_steps), *(w for w, _ in setting.word_weights))
    return {
        "timestep": t,
        "evaluations": 2 * n_frames + source,
        "source_evaluations": source,
        "previous": STABLE_DIFFUSION.previous(t, n),
        "guidance_scale": setting.guidance_scale,
        "negative_prompt": setting.negative_prompt,
        "words": tuple(dict.fromkeys(named)) if k == 0 else (),
        "controller": setting.controller if takes else "auto",
        "replace_cross": cross,
        "replace_words": words,
        "word_weights": setting.word_weights if takes else (),
        "replace_self": own,
        "self_mask": setting.blend_th if masked else None,
        "latent_mask": setting.blend_th if blends else None,
        "watch": setting.blend_latents,
        "mask_size": setting.mask_size if masked or setting.blend_latents else 0,
    }
