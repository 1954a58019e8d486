"""What injection is for: on the embedded model, an edited object stays where its source is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.datasets import load_dataset
from data.world.analyser import analyse
from methods.backbones.load import load_backbone
from methods.base import Context, run_cell
from methods.inversion import invert
from methods.registry import get_method


def middle(box: tuple[int, int, int, int]) -> np.ndarray:
    """(2,) centre of a box in pixels."""
    return np.array([box[0] + box[2], box[1] + box[3]]) / 2


@pytest.mark.slow
def test_an_object_stays_where_its_source_is_with_injection_alone() -> None:
    """Five clips, recoloured; the analyser says where the object is, the renderer where it was."""
    backbone, world, method = load_backbone("world-tiny"), load_dataset("world"), get_method("pnp")
    steps = {"n_timesteps": 20, "n_inversion_steps": 40, "pnp_f_block": 2}
    settings = {
        "injected": method.Setting(**steps),
        "free": method.Setting(**steps, pnp_f_t=0, pnp_attn_t=0),
    }
    moved: dict[str, list[float]] = {name: [] for name in settings}
    for clip_id in world.clip_ids[:5]:
        clip = world.clip(clip_id)
        source = middle(clip.boxes[0, 0])
        clip = replace(clip, frames=clip.frames[:1])
        edit = next(edit for edit in clip.edits.values() if edit.kind == "colour")
        spec = method.inversion(settings["free"], clip.prompt)
        inversion = invert(backbone, backbone.encode(clip.frames), spec)
        for name, setting in settings.items():
            frames = run_cell(method, Context(clip, edit, setting, 0, backbone, inversion))
            (found,) = analyse(frames[0], most=1).objects
            moved[name].append(float(np.linalg.norm(middle(found.box) - source)))
    assert np.median(moved["injected"]) < 3 < np.median(moved["free"])
