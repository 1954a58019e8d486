"""The world dataset is what the issue asks: held out, well composed, and covering all edits."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from data.datasets import FOLDER
from data.manifest import read_manifest
from data.world.dataset import ClipEntry, WorldManifest
from data.world.edits import change_scene
from data.world.make_manifest import distinct, make_manifest
from data.world.render import render_truth
from data.world.sample import draw_scene
from data.world.vocabulary import GROUNDS, SHAPES, SIZE, held_out


@pytest.fixture(scope="module")
def clips() -> dict[str, ClipEntry]:
    return read_manifest(FOLDER / "world.yaml", WorldManifest).clips


def test_there_are_24_clips_of_16_frames_and_six_have_two_objects(clips):
    scenes = [clip.scene for clip in clips.values()]
    assert len(scenes) >= 24
    assert {scene.n_frames for scene in scenes} == {16}
    assert sum(len(scene.objects) == 2 for scene in scenes) == 6


def test_every_clip_has_the_basic_edits_and_a_compound_one(clips):
    for name, clip in clips.items():
        assert {"colour", "shape", "ground", "style"} <= clip.edits.keys(), name
        assert any("+" in edit for edit in clip.edits), name
        assert all(edit_id == change.kind for edit_id, change in clip.edits.items()), name


def test_motion_edits_belong_to_captions_that_name_the_motion(clips):
    moving = [clip for clip in clips.values() if "motion" in clip.edits]
    assert len(moving) == 8
    assert all(clip.scene.motion for clip in moving)


def test_compound_edits_cover_pairs_and_triples(clips):
    compound = {edit for clip in clips.values() for edit in clip.edits if "+" in edit}
    assert {"colour+shape", "shape+ground", "colour+ground", "colour+ground+style"} <= compound
    assert len(compound) >= 6


def test_source_triples_are_held_out(clips):
    for clip in clips.values():
        for obj in clip.scene.objects:
            assert held_out(obj.colour, obj.shape, clip.scene.ground)


def test_training_never_draws_a_held_out_triple():
    rng = np.random.default_rng(0)
    for _ in range(400):
        scene = draw_scene(rng)
        assert not any(held_out(obj.colour, obj.shape, scene.ground) for obj in scene.objects)


def test_all_grounds_and_shapes_and_most_colours_appear(clips):
    scenes = [clip.scene for clip in clips.values()]
    assert {scene.ground for scene in scenes} == set(GROUNDS)
    assert {obj.shape for scene in scenes for obj in scene.objects} == set(SHAPES)
    assert len({obj.colour for scene in scenes for obj in scene.objects}) == 8


def test_objects_stay_in_the_frame_move_and_hardly_cover_each_other(clips):
    for name, clip in clips.items():
        scene = clip.scene.scene()
        masks = render_truth(scene).masks
        assert masks.any(axis=(2, 3)).all(), name
        assert not masks[..., [0, SIZE - 1], :].any(), name
        assert not masks[..., [0, SIZE - 1]].any(), name
        changed = (masks[:, 0] != masks[:, -1]).sum(axis=(1, 2))
        assert (changed > 0.3 * masks[:, 0].sum(axis=(1, 2))).all(), name
        assert distinct(scene), name


def test_targets_can_be_described_without_ambiguity(clips):
    for name, clip in clips.items():
        for change in clip.edits.values():
            objects = change_scene(clip.scene.scene(), change).objects
            assert len({obj.colour for obj in objects}) == len(objects), name
            assert len({obj.shape for obj in objects}) == len(objects), name


@pytest.mark.slow
def test_the_generator_writes_this_manifest(clips):
    written = yaml.safe_load((FOLDER / "world.yaml").read_text(encoding="utf-8"))
    assert make_manifest() == written
