"""Warping agrees with other libraries; warp errors with videos whose motion is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F
from torchvision.models.optical_flow import Raft_Large_Weights, raft_large

from data.clip import Clip, Edit, Flow
from data.world.edits import Change, render_edit
from data.world.render import render_frames, render_truth
from data.world.scene import Object, Scene
from metrics.base import Sample, Score
from metrics.flow_metric import estimate
from metrics.motion import dis_flow, inconsistent, warp, warp_errors
from metrics.motion_fidelity import agreement, endpoint_errors
from metrics.nets.raft import flow_between
from metrics.registry import get_metric

SHIFT = 3
SCENE = Scene(
    "water", (Object("red", "circle", 26, 32, 12, vx=1.5, spin=0.05),), ground_seed=3,
    pan=(0.4, 0.0), n_frames=5,
)  # fmt: skip


def noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def blobs(n: int = 4, height: int = 45, width: int = 61) -> np.ndarray:
    """A smooth random texture that moves SHIFT pixels to the right every frame (odd sizes)."""
    texture = ndimage.gaussian_filter(noise(0, (height, width, 3)), (2.5, 2.5, 0), mode="wrap")
    texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
    return np.stack([np.roll(texture, SHIFT * t, axis=1) for t in range(n)])


@pytest.fixture(scope="module")
def clip() -> Clip:
    truth = render_truth(SCENE)
    flow = Flow(
        truth.flow_forward, truth.flow_backward, truth.occluded_forward, truth.occluded_backward
    )
    changes = {
        "colour": Change(colour="blue"),
        "shape": Change(shape="star"),
        "ground": Change(ground="sand"),
    }
    edits = {name: render_edit(SCENE, name, change) for name, change in changes.items()}
    return Clip(
        "disc", "test", render_frames(SCENE), "a disc", masks=truth.masks, flow=flow, edits=edits
    )


def score(recipe: str, clip: Clip, frames: np.ndarray, edit: Edit | None = None) -> Score:
    return get_metric(recipe).compute(Sample(frames, clip, edit))


# Warping


def test_warping_is_torch_s_grid_sample():
    frames, flow = noise(1, (3, 13, 18, 3)), 6 * noise(2, (3, 13, 18, 2)) - 3
    y, x = np.mgrid[0:13, 0:18]
    at = np.stack([2 * (x + flow[..., 0]) / 17 - 1, 2 * (y + flow[..., 1]) / 12 - 1], axis=-1)
    theirs = F.grid_sample(
        torch.from_numpy(frames).permute(0, 3, 1, 2),
        torch.from_numpy(at),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    ).permute(0, 2, 3, 1)
    assert np.allclose(warp(frames, flow), theirs.numpy())


def test_warping_is_opencv_s_remap_up_to_its_coarser_weights():
    frames, flow = noise(1, (1, 13, 18, 3)), 4 * noise(2, (1, 13, 18, 2)) - 2
    y, x = np.mgrid[0:13, 0:18].astype(np.float32)
    theirs = cv2.remap(
        frames[0].astype(np.float32),
        x + flow[0, ..., 0].astype(np.float32),
        y + flow[0, ..., 1].astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    assert np.abs(warp(frames, flow)[0] - theirs).max() < 0.07  # remap rounds to 1/32 pixel


def test_no_flow_changes_nothing():
    frames = noise(1, (2, 9, 7, 3))
    assert np.array_equal(warp(frames, np.zeros((2, 9, 7, 2))), frames)


def test_the_warp_error_is_the_masked_mean_square_by_loops():
    frames, valid = noise(3, (3, 6, 5, 3)), noise(4, (2, 6, 5)) > 0.4
    flow = np.zeros((2, 6, 5, 2))
    flow[..., 0], flow[..., 1] = 1, -1  # whole pixels, so that sampling is indexing
    for t, ours in enumerate(warp_errors(frames, flow, valid)):
        squares = [
            (frames[t + 1, max(y - 1, 0), min(x + 1, 4), c] - frames[t, y, x, c]) ** 2
            for y in range(6)
            for x in range(5)
            for c in range(3)
            if valid[t, y, x]
        ]
        assert ours == pytest.approx(1e3 * np.mean(squares))


def test_a_pair_without_valid_pixels_is_undefined():
    values = warp_errors(noise(3, (2, 6, 5, 3)), np.zeros((1, 6, 5, 2)), np.zeros((1, 6, 5), bool))
    assert np.isnan(values).all()


def test_inconsistency_is_lai_s_formula_at_every_pixel():
    forward, backward = 4 * noise(5, (1, 8, 9, 2)) - 2, 4 * noise(6, (1, 8, 9, 2)) - 2
    back = warp(backward, forward)
    for (t, y, x), found in np.ndenumerate(inconsistent(forward, backward)):
        f, b = forward[t, y, x], back[t, y, x]
        assert found == (((f + b) ** 2).sum() > 0.01 * ((f**2).sum() + (b**2).sum()) + 0.5)


# Exact flow


def test_the_identity_is_at_the_floor(clip):
    assert score("warp_ratio@exact", clip, clip.frames).value == pytest.approx(1)
    assert score("warp_error@exact", clip, clip.frames) == score(
        "warp_floor@exact", clip, clip.frames
    )


@pytest.mark.parametrize("edit", ["colour", "shape", "ground"])
def test_an_oracle_follows_the_flow_and_shuffled_frames_do_not(clip, edit):
    asked = clip.edits[edit]
    right = score("warp_error@exact", clip, asked.oracle, asked).value
    shuffled = score("warp_error@exact", clip, asked.oracle[[3, 0, 4, 1, 2]], asked).value
    assert right < 1.5
    assert shuffled > 5 * right


def test_leaving_the_occluded_pixels_out_lowers_the_floor(clip):
    seen = score("warp_floor@exact", clip, clip.frames).value
    everywhere = replace(
        clip, flow=replace(clip.flow, occluded_forward=np.zeros((4, 64, 64), bool))
    )
    assert score("warp_floor@exact", everywhere, clip.frames).value > 1.5 * seen


def test_a_frozen_video_does_not_follow_the_flow(clip):
    frozen = np.repeat(clip.frames[:1], 5, axis=0)
    assert score("warp_ratio@exact", clip, frozen).value > 5


def test_black_frames_have_no_error_at_all(clip):
    assert score("warp_error@exact", clip, np.zeros_like(clip.frames)).value == 0


@pytest.mark.parametrize("flow", ["exact", "dis"])
@pytest.mark.parametrize("figure", ["error", "floor", "ratio"])
def test_warping_is_undefined_where_the_motion_is_edited_or_frames_do_not_match(clip, flow, figure):
    recipe = f"warp_{figure}@{flow}"
    turned = replace(clip.edits["colour"], kind="motion+colour")
    assert "motion" in score(recipe, clip, clip.frames, turned).reason
    assert "single frame" in score(recipe, clip, clip.frames[:1]).reason
    assert "32x32" in score(recipe, clip, clip.frames[:, ::2, ::2]).reason


def test_footage_has_no_exact_flow(clip):
    unknown = replace(clip, flow=None)
    assert score("warp_error@exact", unknown, clip.frames).reason.startswith("no exact flow")
    assert score("warp_ratio@dis", unknown, clip.frames).value == pytest.approx(1)


def test_a_flat_source_has_no_ratio(clip):
    flat = replace(clip, frames=np.full_like(clip.frames, 90))
    assert score("warp_ratio@exact", flat, clip.frames).reason.endswith("warp error is zero")


# Estimated flow


def test_dis_finds_a_known_shift_at_odd_sizes():
    forward, backward = dis_flow(blobs())
    inner = np.s_[:, 8:-8, 12:-12]
    assert np.allclose(np.median(forward[inner], axis=(0, 1, 2)), [SHIFT, 0], atol=0.1)
    assert np.allclose(np.median(backward[inner], axis=(0, 1, 2)), [-SHIFT, 0], atol=0.1)
    assert inconsistent(forward, backward)[inner].mean() < 0.05


def test_dis_flow_lowers_the_error_of_a_moving_texture():
    video = Clip("blobs", "test", blobs(), "blobs")
    error = score("warp_error@dis", video, video.frames).value
    still = warp_errors(video.frames, np.zeros((3, 45, 61, 2)), np.ones((3, 45, 61), bool)).mean()
    assert error < 0.1 * still


def test_the_dynamic_degree_is_the_speed_of_the_fastest_pixels():
    video = Clip("blobs", "test", blobs(), "blobs")
    assert score("dynamic_degree@dis", video, video.frames).value == pytest.approx(SHIFT, rel=0.3)


def test_a_frozen_video_has_no_dynamics_and_a_single_frame_none_defined():
    frozen = np.repeat(blobs(1), 3, axis=0)
    video = Clip("blobs", "test", frozen, "blobs")
    assert score("dynamic_degree@dis", video, frozen).value == pytest.approx(0, abs=1e-6)
    assert score("dynamic_degree@dis", video, frozen[:1]).value is None


def test_tiny_frames_have_no_flow():
    tiny = np.zeros((3, 8, 8, 3), np.uint8)
    video = Clip("tiny", "test", tiny, "tiny")
    for recipe in ("dynamic_degree@dis", "warp_error@dis"):
        assert "too small" in score(recipe, video, tiny).reason


def test_float_frames_have_the_flow_of_their_uint8_twins():
    assert np.array_equal(estimate("dis", blobs())[0], estimate("dis", blobs() / 255)[0])


# Motion fidelity


def test_endpoint_errors_and_agreement_are_those_of_loops():
    f, g = 4 * noise(7, (2, 5, 6, 2)) - 2, 4 * noise(8, (2, 5, 6, 2)) - 2
    for t in range(2):
        gaps = [np.hypot(*(f[t, y, x] - g[t, y, x])) for y in range(5) for x in range(6)]
        both = [np.hypot(*f[t, y, x]) + np.hypot(*g[t, y, x]) for y in range(5) for x in range(6)]
        assert endpoint_errors(f, g)[t] == pytest.approx(np.mean(gaps))
        assert agreement(f, g)[t] == pytest.approx(1 - np.sum(gaps) / np.sum(both))


def test_agreement_is_one_for_equal_flows_and_none_for_opposite_or_no_motion():
    f = 4 * noise(7, (1, 5, 6, 2)) - 2
    assert agreement(f, f) == pytest.approx(1)
    assert agreement(f, -f) == pytest.approx(0, abs=1e-12)
    assert agreement(0 * f, f) == pytest.approx(0, abs=1e-12)
    assert agreement(9 * f, 9 * (f + 0.1)) == pytest.approx(agreement(f, f + 0.1))
    assert np.isnan(agreement(0 * f, 0 * f)).all()


def test_the_identity_moves_as_the_source_and_shuffled_or_frozen_frames_do_not():
    video = Clip("blobs", "test", blobs(), "blobs")
    assert score("motion_fidelity@dis", video, blobs()).value == pytest.approx(1)
    assert score("motion_error@dis", video, blobs()).value == 0
    frozen = np.repeat(blobs(1), 4, axis=0)
    assert score("motion_fidelity@dis", video, frozen).value < 0.05
    assert score("motion_error@dis", video, frozen).value == pytest.approx(SHIFT, rel=0.2)
    assert score("motion_fidelity@dis", video, blobs()[::-1]).value < 0.2
    still = Clip("still", "test", frozen, "blobs")
    assert score("motion_fidelity@dis", still, frozen).reason.startswith("nothing moves")


def test_the_oracle_of_another_colour_moves_as_its_source(clip):
    asked = clip.edits["colour"]
    right = score("motion_fidelity@dis", clip, asked.oracle, asked).value
    black = score("motion_fidelity@dis", clip, np.zeros_like(clip.frames), asked).value
    assert right > 0.6 and black < 0.05
    turned = replace(asked, kind="motion")
    assert "motion" in score("motion_fidelity@dis", clip, asked.oracle, turned).reason


# RAFT


@pytest.fixture(scope="module")
def random_raft() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return raft_large(weights=None).eval().requires_grad_(False)


def test_raft_sees_frames_as_torchvision_feeds_them(random_raft):
    frames = (255 * noise(9, (2, 128, 136, 3))).astype(np.uint8)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    first, second = Raft_Large_Weights.C_T_SKHT_V2.transforms()(images[:1], images[1:])
    theirs = random_raft(first.contiguous(), second.contiguous(), num_flow_updates=1)[-1]
    forward, _ = flow_between(random_raft, frames, updates=1)
    assert np.allclose(forward[0], theirs[0].permute(1, 2, 0).numpy(), atol=1e-3)


def test_raft_fills_odd_sizes_up_and_cuts_the_flow_back(random_raft):
    frames = (255 * noise(9, (2, 131, 129, 3))).astype(np.uint8)
    padded = np.pad(frames, ((0, 0), (2, 3), (3, 4), (0, 0)), mode="edge")
    ours, whole = (flow_between(random_raft, video, updates=1)[1] for video in (frames, padded))
    assert np.array_equal(ours, whole[:, 2:-3, 3:-4])


def test_raft_needs_128_pixels_and_its_weights(clip):
    assert "128 pixels" in score("warp_error@raft-large", clip, clip.frames).reason
