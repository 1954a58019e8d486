"""What all three kinds read alike: network, tokenizer, prompts, tolerances, a run's context."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTokenizer

from data.clip import Edit, Region
from methods.base import Context, Setting
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.recorded import RecordedBackbone
from tests.parity.recording import CannotRun, Recording

SCHEDULE = {  # Stable Diffusion's, as all three programs set it
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}
SOLVER_NAMES = {"LMS": "lms", "Euler": "euler", "PNDM": "pndm", "DDIM": "ddim"}
SIGMAS = Tolerance(1e-5, 1e-6)  # float32 rounding of numbers up to 15
EXACT = Tolerance(0, 0)


def backbone_of(recording: Recording, case: str, prompt: str) -> RecordedBackbone:
    """The recording's network and tokenizer, and a case's text embeddings."""
    tensors = recording.tensors
    recorded = {"": tensors[f"{case}.uncond_emb"][0], prompt: tensors[f"{case}.cond_emb"][0]}
    return RecordedBackbone(
        unet=_network(_folder(recording, "weights"), recording.dtype),
        scheduler=DDIMScheduler(**SCHEDULE),
        tokenizer=_tokenizer(_folder(recording, "tokenizer")),
        recorded=recorded,
    )


def _folder(recording: Recording, key: str) -> Path:
    """The folder that a manifest points to, or one of that name in another family."""
    given = recording.manifest.get(key)
    if not given:
        raise CannotRun(f"the manifest names no {key}")
    beside = recording.path.parent
    above = [folder for up in list(beside.parents)[:3] for folder in up.glob("*/shared")]
    for folder in (beside / given, *(shared / Path(given).name for shared in sorted(above))):
        if folder.is_dir():
            return folder.resolve()
    raise CannotRun(f"{key} '{given}' is neither beside {beside} nor in another family's folder")


@lru_cache(maxsize=2)
def _network(folder: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    network = UNet2DConditionModel.from_pretrained(folder, torch_dtype=dtype)
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def _tokenizer(folder: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def solver_name(name: str) -> str:
    """Our name of a recorded scheduler."""
    if name not in SOLVER_NAMES:
        raise CannotRun(f"scheduler '{name}'")
    return SOLVER_NAMES[name]


def context(
    backbone: RecordedBackbone, setting: Setting, prompt: str, layout: Sequence[Region] = ()
) -> Context:
    """All that the method may look at; nothing of it is random or has pixels."""
    return Context(None, Edit("case", "layout", prompt, layout=tuple(layout)), setting, 0, backbone)


def boxes(given: Sequence[Any]) -> tuple[tuple[float, ...], ...]:
    """An object's boxes; the port writes its only one without a list around it."""
    return tuple(map(tuple, given if isinstance(given[0], list | tuple) else [given]))


def gradients(expected: Tensor, actual: Tensor, stated: Any) -> Comparison:
    """Gradients, whose tolerance is a share of the largest entry."""
    share = stated if isinstance(stated, int | float) else stated["rtol_of_absmax"]
    return compare(expected, actual, Tolerance(share * expected.abs().max().item(), inf))


def values(expected: Sequence[float], actual: Sequence[float], atol: float) -> Comparison:
    """Plain numbers, as many as were recorded, within an absolute tolerance."""
    if len(expected) != len(actual):
        return equal(list(range(len(expected))), list(range(len(actual))))
    wanted, ours = (torch.tensor(x, dtype=torch.float64) for x in (expected, actual))
    return compare(wanted, ours, Tolerance(atol, inf))


def latent_tolerance(stated: Any, gaps: Mapping[str, Any], k: int) -> Tolerance:
    """``{"atol": …}``, or ``max(a, b x fp32_vs_fp64)`` of the case's measured gap at step ``k``."""
    if isinstance(stated, Mapping):
        return Tolerance(stated["atol"], inf)
    found = re.match(r"max\(([\d.e+-]+), *([\d.]+)x", stated)
    if not found:
        raise CannotRun(f"tolerance of latents '{stated}'")
    gap = gaps["latents_after_step_maxabs"][k]
    return Tolerance(max(float(found[1]), float(found[2]) * gap), inf)


def tokens(backbone: RecordedBackbone, prompt: str, expected: Sequence[str]) -> Comparison:
    """The tokenizer cuts the prompt as the recorded one did."""
    ids = backbone.tokenizer(prompt).input_ids
    ours = [token.removesuffix("</w>") for token in backbone.tokenizer.convert_ids_to_tokens(ids)]
    return equal([token.removesuffix("</w>") for token in expected], ours)
