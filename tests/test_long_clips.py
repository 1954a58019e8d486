"""Long clips: memory that does not grow with them, and no jump where one part meets the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.figures import peak_bytes
from data.clip import Clip, Edit
from data.world.render import render_frames, render_truth
from data.world.scene import Object, Scene
from methods.backbones.load import load_backbone
from methods.base import Context, run_cell
from methods.inversion import invert
from methods.registry import get_method
from methods.sampling import Branches
from methods.tokenflow import TokenFlow
from methods.tokenflow_step import tokenflow_step
from metrics.motion import warp_errors

BATCH = 8  # frames a keyframe, as released


def one_step(backbone, n_frames: int, **setting) -> torch.Tensor:
    """TokenFlow's first step on random latents."""
    rng = torch.Generator().manual_seed(n_frames)
    source, latents = torch.randn((2, n_frames, 4, 16, 16), generator=rng)
    text = backbone.embed(["a red disc", "", "a blue disc"])
    plan = TokenFlow().plan(TokenFlow.Setting(batch_size=BATCH, **setting), n_frames)[0]
    branches = Branches(source, latents, text, plan.timestep)
    return tokenflow_step(backbone, branches, list(range(0, n_frames, BATCH)), plan)


def test_300_frames_take_the_memory_of_40_and_that_of_their_latents(miniature) -> None:
    """A step of eight latents for each further frame: what it is given, makes and mixes."""
    miniature = replace(miniature, max_samples=3 * BATCH)
    miniature.embed(["a red disc", "", "a blue disc"])
    short, long = (
        peak_bytes(lambda n=n: one_step(miniature, n, keyframe_batch=4)) for n in (40, 300)
    )
    latent = 4 * 16 * 16 * 4
    assert long <= short + 260 * 8 * latent
    # Keyframes that all see each other cannot be had for that.
    together = peak_bytes(lambda: one_step(miniature, 300))
    assert together > 2 * long


@pytest.mark.parametrize("blend", ["released", "paper"])
def test_parts_that_come_and_go_give_what_all_at_once_would(miniature, blend: str) -> None:
    """A part of one keyframe sees itself alone, as with a window of one."""
    small = replace(miniature, max_samples=3 * 3)  # calls of three frames: borders everywhere
    streamed = one_step(small, 44, keyframe_batch=1, blend=blend)
    kept = one_step(miniature, 44, window=1, blend=blend)
    torch.testing.assert_close(streamed, kept, rtol=1e-3, atol=1e-3)


def moving_disc(n_frames: int) -> tuple[Clip, np.ndarray]:
    """A disc that crosses a panning ground, and where its exact flow is defined."""
    disc = Object("red", "circle", x=18, y=30, radius=11, vx=28 / n_frames, vy=4 / n_frames)
    scene = Scene("grass", (disc,), pan=(0.2, 0.0), n_frames=n_frames)
    frames, truth = render_frames(scene), render_truth(scene)
    prompt = "a blue circle on grass"
    edit = Edit("colour", "colour", prompt, (("red", "blue"),))
    clip = Clip("c", "test", frames, "a red circle on grass", edits={"colour": edit})
    return clip, (truth.flow_forward, ~truth.occluded_forward)


@pytest.mark.slow
def test_parts_leave_no_jump_where_they_meet() -> None:
    """48 frames, keyframes two at a time, blind to the others: 16 frames a part.

    What warping leaves between two frames is as small at the parts' borders as elsewhere: the
    largest border stays below the largest inside a part, and their mean below the mean of the
    batches' borders inside parts, where keyframes change too, and its spread.
    """
    clip, track = moving_disc(48)
    backbone, method = load_backbone("world-tiny"), get_method("tokenflow")
    setting = method.Setting(
        n_timesteps=10, n_inversion_steps=20, pnp_f_block=2, batch_size=BATCH, keyframe_batch=2
    )
    spec = method.inversion(setting, clip.prompt)
    inversion = invert(backbone, backbone.encode(clip.frames), spec)
    edit = clip.edits["colour"]
    frames = run_cell(method, Context(clip, edit, setting, 0, backbone, inversion))
    errors = warp_errors(frames, *track)  # [k]: from frame k to k + 1
    at = np.arange(len(errors)) + 1
    borders, batches = errors[at % (2 * BATCH) == 0], errors[at % (2 * BATCH) == BATCH]
    inside = errors[at % (2 * BATCH) != 0]
    assert borders.max() <= inside.max()
    assert borders.mean() <= batches.mean() + inside.std()
