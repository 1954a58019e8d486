"""The port that walkthrough 004 quotes: other heads, other rounding of boxes, any scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any

from methods.cross_attention import cross_attention_sites
from methods.layout_guidance import LayoutGuidance
from methods.layout_loss import Target
from methods.map_sites import map_sizes
from tests.parity.compare import Comparison
from tests.parity.families.layout import common
from tests.parity.families.layout.guidance import Run
from tests.parity.recording import Recording
from tests.parity.run import Case

TOKEN_COUNTS = (64, 256)  # the port's, of maps in the middle block and the decoder
PRESET = LayoutGuidance.presets["walkthrough-004"]


def port_cases(recording: Recording) -> Iterator[Case]:
    """The cases of one run, or of each of several."""
    manifest = recording.manifest
    for case in manifest.get("cases", [manifest["case"]] if "case" in manifest else []):
        run = _run(recording, case)
        yield from run.cases()
        yield f"{run.id} tokens", partial(_tokens, run, case)


def _run(recording: Recording, case: dict[str, Any]) -> Run:
    stated = recording.manifest["tolerance"]
    side = recording.tensors[f"{case['id']}.init_latents_unscaled"].shape[-1]
    network = common.backbone_of(recording, case["id"], case["prompt"]).unet
    sizes = map_sizes(network, side, side)
    blocks = dict.fromkeys(
        site.block
        for site in cross_attention_sites(network)
        if not site.block.startswith("down") and prod(sizes[site.name]) in TOKEN_COUNTS
    )
    setting = LayoutGuidance.Setting(
        **PRESET
        | {
            "n_timesteps": case["steps"],
            "scheduler": common.solver_name(case["scheduler"]),
            "guidance_scale": case["guidance"],
            "loss_scale": case["scale_factor"],
            "max_iter": case["max_guidance_iter_per_step"],
            "max_index_step": case["max_guidance_iter"],
            "layers": "+".join(blocks),
        }
    )
    targets = [
        Target(tuple(tokens), common.boxes(given))
        for tokens, given in zip(case["token_indices"], case["bboxes"], strict=True)
    ]
    return Run(
        recording=recording,
        id=case["id"],
        prompt=case["prompt"],
        targets=targets,
        setting=setting,
        stated=stated,
        gradient=stated["grad"],
        gaps=case["fp32_vs_fp64"],
        counts=case["guidance_iterations_per_timestep"],
    )


def _tokens(run: Run, case: dict[str, Any]) -> Iterator[Comparison]:
    yield common.tokens(run.backbone, run.prompt, case["token_strings"])
