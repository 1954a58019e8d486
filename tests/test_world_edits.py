"""An edit changes what it names and nothing else; its caption and words say so."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from data.words import changed_words
from data.world.edits import Change, change_scene, describe_edit, render_edit
from data.world.grammar import caption
from data.world.render import render_frames, render_truth
from data.world.sample import DIRECTIONS
from data.world.scene import Object, Scene
from data.world.styles import apply_style

DISC = Object("red", "circle", 30, 34, 12, vx=0.9, vy=0.0)
STAR = Object("blue", "star", 46, 20, 9, vy=0.5)
ONE = Scene("grass", (DISC,), motion="right", n_frames=4)
TWO = Scene("sand", (Object("red", "circle", 18, 40, 10), STAR), n_frames=4)


def differs(scene: Scene, change: Change) -> np.ndarray:
    """(N, H, W) pixels in which the oracle is not the source."""
    oracle = render_edit(scene, "edit", change).oracle
    return (oracle != render_frames(scene)).any(axis=-1)


def grown(masks: np.ndarray, by: int) -> np.ndarray:
    """Masks one antialiased pixel wider (or narrower)."""
    square = np.ones((1, 3, 3), bool)
    grow = ndimage.binary_dilation if by > 0 else ndimage.binary_erosion
    return grow(masks, square, iterations=abs(by))


def test_a_colour_edit_differs_only_within_its_object():
    change = Change(colour="green", object=1)
    difference, masks = differs(TWO, change), render_truth(TWO).masks
    assert difference[grown(masks[1], -3)].all()
    assert not difference[~grown(masks[1], 1)].any()


def test_a_ground_edit_differs_only_outside_the_objects():
    difference, masks = differs(TWO, Change(ground="night")), render_truth(TWO).masks.any(axis=0)
    assert not difference[grown(masks, -1)].any()
    assert difference[~grown(masks, 1)].all()


def test_a_shape_edit_differs_only_where_either_shape_is():
    change = Change(shape="square")
    edit = render_edit(ONE, "shape", change)
    either = (render_truth(ONE).masks | edit.oracle_masks).any(axis=0)
    difference = differs(ONE, change)
    assert difference.any() and not difference[~grown(either, 1)].any()


def test_a_style_edit_is_the_style_applied_to_the_source():
    edit = render_edit(ONE, "style", Change(style="sketch"))
    assert np.array_equal(edit.oracle, apply_style("sketch", render_frames(ONE)))
    assert np.array_equal(edit.oracle_masks, render_truth(ONE).masks)


@pytest.mark.parametrize("motion", ["left", "up", "down"])
def test_a_motion_edit_moves_the_object_that_way(motion):
    masks = render_edit(ONE, "motion", Change(motion=motion)).oracle_masks[0]
    rows, columns = zip(*(ndimage.center_of_mass(mask) for mask in masks), strict=True)
    step = np.diff([columns, rows], axis=1)  # x, y
    assert np.allclose(step, 0.9 * np.array(DIRECTIONS[motion])[:, None], atol=0.25)


def test_a_compound_edit_is_both_edits_at_once():
    both = change_scene(ONE, Change(colour="blue", ground="snow"))
    one_by_one = change_scene(change_scene(ONE, Change(colour="blue")), Change(ground="snow"))
    assert both == one_by_one
    assert Change(ground="snow", colour="blue").kind == "colour+ground"


@pytest.mark.parametrize(
    ("scene", "change", "prompt", "words"),
    [
        (
            ONE,
            Change(colour="orange"),
            "a photo of an orange circle moving right on grass",
            (("red", "orange"),),
        ),
        (
            TWO,
            Change(shape="ring", ground="water", object=1),
            "a photo of a red circle and a blue ring on water",
            (("star", "ring"), ("sand", "water")),
        ),
        (
            ONE,
            Change(style="mosaic", motion="up"),
            "a mosaic of a red circle moving up on grass",
            (("photo", "mosaic"), ("right", "up")),
        ),
    ],
)
def test_prompt_and_words_follow_from_the_change(scene, change, prompt, words):
    edit = describe_edit(scene, "edit", change)
    assert (edit.prompt, edit.words) == (prompt, words)
    assert edit.oracle is None


def test_a_caption_names_everything_the_scene_shows():
    pattern = r"an? (\w+) of an? (\w+) (\w+) and an? (\w+) (\w+) on (\w+)"
    assert re.fullmatch(pattern, caption(TWO)).groups() == (
        "photo", "red", "circle", "blue", "star", "sand",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("a red car", "a red car", ()),
        ("a cat on a mat", "a big cat on a mat", (("", "big"),)),
        ("a very old cat", "a cat", (("very old", ""),)),
        ("a dog", "an owl", (("dog", "owl"),)),
    ],
)
def test_changed_words_of_free_captions(source, target, words):
    assert changed_words(source, target) == words


@pytest.mark.parametrize(
    ("scene", "change", "message"),
    [
        (ONE, {"colour": "red"}, "nothing would change"),
        (ONE, {"colour": "blue", "object": 1}, "object 1 of a scene with 1"),
        (TWO, {"motion": "up"}, "needs a single object whose motion the caption names"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(scene, change, message):
    with pytest.raises(ValueError, match=message):
        change_scene(scene, Change(**change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "bleu"}, "unknown colour 'bleu'. Did you mean 'blue'"),
        ({"ground": "gras"}, "Did you mean 'grass'"),
        ({}, "at least one of colour, shape, ground, style, motion"),
        ({"size": "big"}, "Extra inputs"),
    ],
)
def test_a_change_outside_the_vocabulary_is_refused(change, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        Change(**change)
