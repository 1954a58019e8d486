"""What an edit was to change and to keep is read back from the frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.clip import Clip, Edit
from data.world.analyser import Reading
from data.world.edits import Change, render_edit
from data.world.fitting import Found
from data.world.render import render_frames
from data.world.scene import Object, Scene
from metrics.attribute_accuracy import attributes
from metrics.base import Sample, Score
from metrics.registry import get_metric

SCENE = Scene("sand", (Object("red", "circle", 26, 30, 11),), ground_seed=3, n_frames=1)


@pytest.fixture(scope="module")
def clip() -> Clip:
    changes = {
        "colour": Change(colour="green"),
        "both": Change(shape="star", ground="snow"),
    }
    edits = {name: render_edit(SCENE, name, change) for name, change in changes.items()}
    return Clip("disc", "test", render_frames(SCENE), "a disc", edits=edits)


def score(recipe: str, clip: Clip, frames: np.ndarray, edit: Edit | None) -> Score:
    return get_metric(f"{recipe}@analyser").compute(Sample(frames, clip, edit))


@pytest.mark.parametrize("name", ["colour", "both"])
def test_the_oracle_has_all_the_source_none_and_both_keep_the_rest(clip, name):
    edit = clip.edits[name]
    for frames, accuracy in [(edit.oracle, 1), (clip.frames, 0)]:
        assert score("attribute_accuracy", clip, frames, edit).value == accuracy
        assert score("attributes_kept", clip, frames, edit).value == 1


def test_half_of_an_edit_is_half_right_and_what_was_not_asked_is_lost(clip):
    half = render_edit(SCENE, "half", Change(colour="green", shape="star")).oracle
    assert score("attribute_accuracy", clip, half, clip.edits["both"]).value == 0.5
    kept = score("attributes_kept", clip, half, clip.edits["both"]).value
    assert kept == 0.5  # the style, and not the colour


def test_what_cannot_be_read_is_said(clip):
    edit = clip.edits["colour"]
    assert "no edit" in score("attribute_accuracy", clip, clip.frames, None).reason
    large = np.zeros((1, 65, 64, 3), np.uint8)
    other = replace(clip, frames=large)
    reason = score("attribute_accuracy", other, large, replace(edit, oracle=large)).reason
    assert "64x64" in reason
    same = replace(edit, oracle=clip.frames)
    assert "no such attribute" in score("attribute_accuracy", clip, clip.frames, same).reason


def test_objects_are_told_apart_by_their_places():
    one, two = Found("red", "ring", (0, 0, 9, 9), 1.0), Found("blue", "star", (40, 40, 60, 60), 1.0)
    true = Reading("photo", "sand", (one, two))
    assert attributes(Reading("photo", "snow", (two, one)), true) == [
        "photo", "snow", "red", "ring", "blue", "star",
    ]  # fmt: skip
    assert attributes(Reading("photo", "sand", (two,)), true)[2:] == ["", "", "blue", "star"]


def test_what_looks_like_no_object_is_none():
    """The nearest rendering to a black frame is a green square, 47 grey levels away."""
    true = Reading("photo", "sand", (Found("green", "square", (9, 9, 30, 30), 12.0),))
    black = Reading("mosaic", "night", (Found("green", "square", (0, 0, 64, 64), 46.6),))
    assert attributes(black, true) == ["mosaic", "night", "", ""]
