"""Metrics over the embedded CLIP do what they say, with random weights and with the trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from data.clip import Clip, Edit
from data.datasets import load_dataset
from metrics.base import Sample, Score
from metrics.extractors import MissingExtractor, world_clip, world_clip_digest
from metrics.feature_distance import feature_distance
from metrics.registry import get_metric
from metrics.world_clip import WorldClip, without_motion
from tests.miniature_clip import save_miniature_clip

USERS = ("clip_metric", "perceptual")


def noise(seed: int, shape: tuple[int, ...] = (3, 64, 64, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_miniature_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def miniature(folder: Path) -> WorldClip:
    return WorldClip(folder)


@pytest.fixture(autouse=True)
def extractor(miniature: WorldClip, request, monkeypatch) -> None:
    """Metrics see the miniature, except in tests of the trained weights."""
    if "trained" not in request.node.name:
        for module in USERS:
            monkeypatch.setattr(f"metrics.{module}.world_clip", lambda: miniature)


@pytest.fixture
def clip() -> Clip:
    masks = np.zeros((1, 3, 64, 64), bool)
    masks[0, :, 20:40, 24:44] = True
    edit = Edit("colour", "colour", "a blue box", (("red", "blue"),), noise(1), masks)
    return Clip("box", "test", noise(0), "a red box", masks=masks, edits={"colour": edit})


def score(recipe: str, clip: Clip, frames: np.ndarray, edit: Edit | None = None) -> Score:
    return get_metric(f"{recipe}@world-tiny").compute(Sample(frames, clip, edit))


def reference(folder: Path) -> open_clip.CLIP:
    """The miniature, built by hand."""
    import json

    config = json.loads((folder / "config.json").read_text())
    config.pop("preprocess_cfg")
    model = open_clip.CLIP(**config).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


def normalised(frames: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    return (pixels - mean[:, None, None]) / std[:, None, None]


# Embeddings


@torch.no_grad()
def test_embeddings_are_those_of_the_plain_open_clip_model(folder, miniature):
    theirs = reference(folder).encode_image(normalised(noise(0)))
    ours = miniature.encode_image(noise(0))
    assert torch.allclose(ours, theirs / theirs.norm(dim=-1, keepdim=True), atol=1e-5)


def test_loading_leaves_the_global_random_state_alone(folder):
    before = torch.random.get_rng_state()
    WorldClip(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_frames_may_be_uint8_or_float_and_of_any_size(miniature):
    for shape in [(2, 64, 64, 3), (2, 37, 51, 3), (1, 130, 65, 3)]:
        frames = noise(2, shape)
        ours = miniature.encode_image(frames)
        assert ours.shape == (shape[0], 16)
        assert torch.allclose(ours, miniature.encode_image(frames / 255), atol=1e-5)


def test_a_wide_frame_is_cut_to_its_centre(miniature):
    wide = noise(3, (1, 64, 96, 3))
    assert torch.equal(miniature.encode_image(wide), miniature.encode_image(wide[:, :, 16:80]))


def test_black_frames_have_an_embedding(miniature):
    assert miniature.encode_image(np.zeros((1, 64, 64, 3), np.uint8)).isfinite().all()


def test_prompts_lose_the_motion_that_the_extractor_never_learned(miniature):
    assert (
        without_motion("a photo of a red star moving up on sand") == "a photo of a red star on sand"
    )
    pair = miniature.encode_text(["a star moving left on sand", "a star on sand"])
    assert torch.equal(pair[0], pair[1])


# Text


def test_clip_text_is_the_cosine_times_100_averaged_over_frames(clip, folder, miniature):
    edit = clip.edits["colour"]
    text = miniature.encode_text([edit.prompt])[0]
    with torch.no_grad():
        image = reference(folder).encode_image(normalised(noise(4)))
    expected = [100 * float(F.cosine_similarity(x, text, dim=0)) for x in image]
    found = score("clip_text", clip, noise(4), edit)
    assert found.per_frame == pytest.approx(expected, abs=1e-3)
    assert found.value == pytest.approx(np.mean(expected), abs=1e-3)


def test_without_an_edit_frames_are_held_against_the_source_prompt(clip):
    same = replace(clip.edits["colour"], prompt=clip.prompt)
    assert score("clip_text", clip, noise(4)) == score("clip_text", clip, noise(4), same)


def test_the_gain_is_over_the_source_which_has_none(clip):
    edit = clip.edits["colour"]
    gain = score("clip_gain", clip, noise(4), edit).value
    plain = [score("clip_text", clip, frames, edit).value for frames in (noise(4), clip.frames)]
    assert gain == pytest.approx(plain[0] - plain[1])
    assert score("clip_gain", clip, clip.frames, edit).value == 0


def test_the_direction_is_taken_between_normalised_features(clip, miniature):
    edit = clip.edits["colour"]
    image = miniature.encode_image(noise(4)) - miniature.encode_image(clip.frames)
    text = miniature.encode_text([edit.prompt]) - miniature.encode_text([clip.prompt])
    expected = F.cosine_similarity(image, text)
    assert score("clip_direction", clip, noise(4), edit).per_frame == pytest.approx(
        expected.tolist(), abs=1e-4
    )


def test_frame_accuracy_is_the_share_of_frames_nearer_to_the_target(clip, miniature):
    edit, frames = clip.edits["colour"], noise(4, (9, 64, 64, 3))
    e = miniature.encode_image(frames)
    target, source = miniature.encode_text([edit.prompt, clip.prompt])
    p = torch.softmax(torch.stack([e @ target, e @ source], dim=1), dim=1)
    found = score("frame_accuracy", clip, frames, edit)
    assert found.value == pytest.approx(float((p[:, 0] >= p[:, 1]).double().mean()))
    swapped = score("frame_accuracy", replace(clip, prompt=edit.prompt), frames,
                    replace(edit, prompt=clip.prompt))  # fmt: skip
    assert found.value + swapped.value == pytest.approx(1)


@pytest.mark.parametrize("recipe", ["clip_direction", "clip_gain", "frame_accuracy"])
def test_equal_captions_and_no_edit_leave_it_undefined(clip, recipe):
    same = replace(clip.edits["colour"], prompt="a red box moving left ")
    assert "caption are equal" in score(recipe, clip, noise(4), same).reason
    assert score(recipe, clip, noise(4)).reason == "no edit is asked"


@pytest.mark.parametrize("recipe", ["clip_direction", "clip_gain"])
def test_every_frame_needs_its_source_frame(clip, recipe):
    shorter = score(recipe, clip, noise(4)[:2], clip.edits["colour"])
    assert "differ in number" in shorter.reason


def test_frames_that_did_not_change_have_no_direction(clip):
    edit = clip.edits["colour"]
    assert "no direction" in score("clip_direction", clip, clip.frames, edit).reason
    partly = clip.frames.copy()
    partly[1] = noise(9)[1]
    found = score("clip_direction", clip, partly, edit)
    assert np.isnan(found.per_frame[0]) and found.value == found.per_frame[1]


# Consistency


def test_consistency_is_the_cosine_of_neighbours_or_of_all_pairs(clip, miniature):
    frames = noise(5, (4, 64, 64, 3))
    e = miniature.encode_image(frames)
    neighbours = [float(e[i] @ e[i + 1]) for i in range(3)]
    pairs = [float(e[i] @ e[j]) for i in range(4) for j in range(4) if i != j]
    assert score("frame_consistency", clip, frames).value == pytest.approx(np.mean(neighbours))
    assert score("frame_consistency_pairs", clip, frames).value == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("recipe", ["frame_consistency", "frame_consistency_pairs"])
def test_a_constant_video_is_wholly_consistent_and_one_frame_undefined(clip, recipe):
    constant = np.repeat(noise(6)[:1], 4, axis=0)
    assert score(recipe, clip, constant).value == pytest.approx(1, abs=1e-6)
    assert score(recipe, clip, constant[:1]).value is None


def test_shuffling_lowers_the_consistency_of_neighbours_but_not_of_pairs(clip):
    last = np.zeros((64, 64, 3))
    last[:, :40] = 255, 120, 0
    fade = (np.linspace(0, 1, 8)[:, None, None, None] * last).astype(np.uint8)
    shuffled = fade[[0, 7, 1, 6, 2, 5, 3, 4]]

    def lack(recipe: str, frames: np.ndarray) -> float:
        return 1 - score(recipe, clip, frames).value

    assert lack("frame_consistency", shuffled) > 2 * lack("frame_consistency", fade) > 0
    pairs = [lack("frame_consistency_pairs", frames) for frames in (fade, shuffled)]
    assert pairs[0] == pytest.approx(pairs[1], rel=1e-3)


# Perceptual distance


@torch.no_grad()
def test_the_perceptual_distance_is_the_unit_feature_difference_by_loops(folder, miniature):
    visual = reference(folder).visual
    total = []
    x, y = normalised(noise(0)[:1]), normalised(noise(1)[:1])
    for stage in (visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x, y = stage(x), stage(y)
        a, b = (f[0].flatten(1).T.double().numpy() for f in (x, y))  # positions by channels
        unit = [v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-10) for v in (a, b)]
        total.append(((unit[0] - unit[1]) ** 2).sum(axis=1).mean())
    found = feature_distance(miniature, noise(0)[:1], noise(1)[:1])[0]
    assert found == pytest.approx(np.mean(total), 1e-4)


def test_equal_frames_have_no_distance_and_the_order_does_not_matter(clip, miniature):
    assert score("perceptual", clip, clip.frames).value == 0
    assert feature_distance(miniature, noise(0), noise(1)) == pytest.approx(
        feature_distance(miniature, noise(1), noise(0))
    )
    edit = clip.edits["colour"]
    assert score("oracle_perceptual", clip, edit.oracle, edit).value == 0
    assert score("oracle_perceptual", clip, clip.frames, edit).value > 0


def test_outside_the_objects_only_changes_outside_count(clip):
    edit, inside, outside = clip.edits["colour"], clip.frames.copy(), clip.frames.copy()
    inside[:, 20:40, 24:44] = 0
    outside[:, :10] = 0
    assert score("perceptual_outside", clip, inside, edit).value == 0
    assert score("perceptual_outside", clip, outside, edit).value > 0


def test_odd_sizes_have_a_distance_and_tiny_ones_do_not(clip):
    frames = noise(7, (2, 45, 61, 3))
    odd = replace(clip, frames=noise(8, (2, 45, 61, 3)), masks=None)
    assert 0 < score("perceptual", odd, frames).value < 2
    tiny = replace(clip, frames=noise(8, (2, 16, 16, 3)))
    assert "32 pixels" in score("perceptual", tiny, noise(7, (2, 16, 16, 3))).reason


# Weights


def test_missing_weights_are_said_and_never_guessed(tmp_path):
    with pytest.raises(MissingExtractor, match=r"model\.safetensors, .* not found in .*restore it"):
        world_clip(tmp_path)
    assert world_clip_digest(tmp_path) == "absent"


def test_the_digest_follows_the_weights(tmp_path):
    digests = [world_clip_digest(save_miniature_clip(tmp_path / str(s), s)) for s in (0, 1)]
    assert digests[0] != digests[1]
    assert get_metric("clip_text@world-tiny").extractor_digest == world_clip_digest()


@pytest.mark.parametrize("edit", ["colour", "shape", "ground", "style"])
def test_with_trained_weights_the_oracle_gains_and_the_direction_fits(edit):
    dataset = load_dataset("world")
    clip = dataset.clip(dataset.clip_ids[0])
    asked = clip.edits[edit]
    assert score("clip_gain", clip, asked.oracle, asked).value > 4
    assert score("clip_direction", clip, asked.oracle, asked).value > 0.5
    assert score("frame_consistency", clip, asked.oracle).value > 0.9
    assert score("frame_accuracy", clip, asked.oracle, asked).value == 1
    assert score("frame_accuracy", clip, clip.frames, asked).value == 0
