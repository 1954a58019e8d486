"""The world's truth (masks, boxes, flow) agrees with the pixels it is said of."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import ndimage

from data.world.render import render_frames, render_truth
from data.world.sample import draw_scene
from data.world.scene import Object, Scene
from data.world.styles import apply_style
from data.world.vocabulary import COLOURS, SHAPES, SIZE, STYLES

TURNING = Object("red", "square", 24, 30, 12, angle=0.3, vx=1.1, vy=0.4, spin=0.06, growth=1.01)
PASSING = Object("cyan", "star", 42, 30, 11, vx=-1.3, spin=-0.05)
SCENE = Scene("water", (TURNING, PASSING), ground_seed=7, pan=(0.6, -0.4), n_frames=6)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return render_frames(SCENE)


@pytest.fixture(scope="module")
def truth():
    return render_truth(SCENE)


def remapped(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """OpenCV's twin of our warp: the frame sampled where the flow leads."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    return cv2.remap(frame, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)


def test_forward_flow_brings_the_next_frame_back(frames, truth):
    for t in range(SCENE.n_frames - 1):
        back = remapped(frames[t + 1], truth.flow_forward[t]).astype(int)
        gap = np.abs(back - frames[t])[~truth.occluded_forward[t]]
        unmoved = np.abs(frames[t + 1].astype(int) - frames[t])[~truth.occluded_forward[t]]
        assert gap.mean() < 3  # levels, from resampling sharp edges
        assert gap.mean() < 0.35 * unmoved.mean()


def test_backward_flow_brings_the_previous_frame_forth(frames, truth):
    for t in range(SCENE.n_frames - 1):
        forth = remapped(frames[t], truth.flow_backward[t]).astype(int)
        gap = np.abs(forth - frames[t + 1])[~truth.occluded_backward[t]]
        assert gap.mean() < 3


def test_the_two_flows_undo_each_other_where_nothing_is_occluded(truth):
    back = remapped(truth.flow_backward[0], truth.flow_forward[0])
    inner = ndimage.binary_erosion(~truth.occluded_forward[0], iterations=3)
    # A pixel next to an object's edge samples both flows; the rest of the frame must cancel.
    gap = np.linalg.norm(truth.flow_forward[0] + back, axis=-1)[inner]
    assert np.percentile(gap, 90) < 0.02


def test_pixels_hidden_by_the_object_in_front_are_occluded(truth):
    behind, front = truth.masks
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    covered = 0
    for t in range(SCENE.n_frames - 1):
        column = np.round(x + truth.flow_forward[t, ..., 0]).astype(int).clip(0, SIZE - 1)
        row = np.round(y + truth.flow_forward[t, ..., 1]).astype(int).clip(0, SIZE - 1)
        hidden = behind[t] & ndimage.binary_erosion(front[t + 1])[row, column]
        covered += hidden.sum()
        assert truth.occluded_forward[t][hidden].all()
    assert covered > 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", ["red", "white", "purple"])
def test_inside_its_mask_an_object_has_its_colour(shape, colour):
    scene = Scene("night", (Object(colour, shape, 32, 32, 16, angle=0.2),), n_frames=1)
    mask = ndimage.binary_erosion(render_truth(scene).masks[0, 0], iterations=3)  # within the rim
    pixels = render_frames(scene)[0][mask].astype(float)
    palette = np.array(list(COLOURS.values()), float)
    nearest = np.linalg.norm(pixels[:, None] - palette, axis=-1).argmin(axis=1)
    assert len(pixels) > 20
    assert (np.array(list(COLOURS))[nearest] == colour).all()


def test_masks_do_not_overlap_and_boxes_hold_them(truth):
    assert not truth.masks.all(axis=0).any()
    for masks, boxes in zip(truth.masks, truth.boxes, strict=True):
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
            assert mask[y0:y1, x0:x1].sum() == mask.sum()
            assert mask[y0].any() and mask[y1 - 1].any()
            assert mask[:, x0].any() and mask[:, x1 - 1].any()


def test_rendering_twice_gives_the_same_bytes(frames):
    assert render_frames(SCENE).tobytes() == frames.tobytes()


def test_a_frame_rendered_alone_is_the_frame_of_the_clip(frames):
    assert np.array_equal(render_frames(SCENE, [4])[0], frames[4])


@pytest.mark.parametrize("style", STYLES)
def test_a_style_keeps_shape_and_type_and_follows_the_photo(style, frames):
    styled = apply_style(style, frames)
    assert styled.shape == frames.shape and styled.dtype == np.uint8
    assert np.array_equal(styled, render_frames(replace(SCENE, style=style)))
    assert (style == "photo") == np.array_equal(styled, frames)


def test_mosaic_tiles_are_flat_and_tiling_again_changes_nothing(frames):
    tiled = apply_style("mosaic", frames)
    tiles = tiled.reshape(len(tiled), SIZE // 4, 4, SIZE // 4, 4, 3)
    assert (tiles == tiles[:, :, :1, :, :1]).all()
    assert np.array_equal(apply_style("mosaic", tiled), tiled)


def test_scenes_are_a_pure_function_of_the_generator():
    draws = [draw_scene(np.random.default_rng(5)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert draw_scene(np.random.default_rng(6)) != draws[0]
