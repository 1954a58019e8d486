"""Metrics of talking portraits, on faces whose truth is known and on made-up distances."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from data.clip import Clip
from data.datasets import load_dataset
from data.portraits.face import Motion
from data.portraits.loudness import FPS, opening
from data.portraits.render import render_frames
from data.portraits.sample import draw_face
from data.portraits.voice import speak
from data.speech import TalkingClip
from metrics import sync
from metrics.base import Sample
from metrics.extractors import MissingExtractor
from metrics.nets import files
from metrics.nets.syncnet import build, cepstra
from metrics.portrait_motion import crop, head_shifts, steadied
from metrics.registry import get_metric

N = 32


@cache
def portrait() -> TalkingClip:
    dataset = load_dataset("portraits")
    return dataset.clip(dataset.clip_ids[0])


def score(recipe: str, frames: np.ndarray, clip: Clip | None = None, edit: str = "other"):
    clip = clip or portrait()
    return get_metric(recipe).compute(Sample(frames, clip, clip.edits.get(edit)))


def test_the_true_answer_is_in_step_and_the_source_is_not():
    truth = score("lip_sync@analyser", portrait().edits["other"].oracle)
    assert truth.value > 0.98 and len(truth.per_frame) == N
    source = score("lip_sync@analyser", portrait().frames)
    assert source.value < 0.6
    assert score("lip_leak@analyser", portrait().frames).value > 0.98
    assert score("lip_leak@analyser", portrait().edits["other"].oracle).value < 0.6


def test_a_mouth_that_comes_late_is_late_by_so_many_frames():
    oracle = portrait().edits["other"].oracle
    for lag in (0, 2, -3):
        assert score("lip_lag@analyser", np.roll(oracle, lag, axis=0)).value == lag


def test_a_mouth_that_never_moves_is_in_step_with_nothing():
    still = np.repeat(portrait().frames[:1], N, axis=0)
    assert score("lip_sync@analyser", still).value == 0
    assert score("lip_lag@analyser", still).value is None
    assert score("lip_error@analyser", still).value > 0.2
    assert score("lip_error@analyser", portrait().edits["other"].oracle).value < 0.05


def test_the_clips_own_sound_has_nothing_to_leak():
    assert score("lip_leak@analyser", portrait().frames, edit="own").value is None


@pytest.mark.parametrize("metric", ["lip_sync", "lip_leak", "lip_lag", "lip_error"])
def test_a_photo_has_no_known_opening(metric):
    photo = load_dataset("portraits").clip("astronaut")
    found = score(f"{metric}@analyser", photo.frames, photo, "reading")
    assert found.value is None and "portrait world" in found.reason


def swaying() -> tuple[np.ndarray, Motion, np.ndarray]:
    face = draw_face(np.random.default_rng(3))
    x = np.round(1.5 * np.sin(np.arange(12)), 2)
    motion = Motion(x, -0.5 * x, np.ones(12))
    box = [face.x - face.half_width, face.y - face.half_height, face.x + face.half_width]
    return render_frames(face, motion, np.zeros(12)), motion, np.array([*box, face.y + 20])


def test_head_motion_is_what_the_head_was_moved_by():
    frames, motion, box = swaying()
    shifts = head_shifts(frames, box)
    assert np.abs(shifts[:, 1] - (motion.x - motion.x[0])).max() < 0.35
    assert np.abs(shifts[:, 0] - (motion.y - motion.y[0])).max() < 0.35


def test_a_face_stays_itself_while_it_moves_and_is_not_another():
    own = portrait().edits["other"].oracle
    other = load_dataset("portraits").clip("brown-black-rose").frames
    assert score("identity@pixels", own).value > 0.9
    assert score("identity@pixels", other).value < score("identity@pixels", own).value - 0.2


def test_blinking_is_expression_and_most_of_swaying_is_not():
    frames, _, box = swaying()
    face = draw_face(np.random.default_rng(3))
    lids = np.where(np.arange(12) % 4 == 0, 0.0, 1.0)
    blinks = render_frames(face, Motion(np.zeros(12), np.zeros(12), lids), np.zeros(12))
    assert score("expression@rgb", blinks).value > 1
    assert score("expression@rgb", np.repeat(blinks[:1], 12, axis=0)).value < 1e-9
    moved, held = (crop(one, box) for one in (frames, steadied(frames, box)))
    deviation = [np.abs(one - one.mean(axis=0)).mean() for one in (moved, held)]
    assert deviation[1] < 0.5 * deviation[0]


def test_what_has_no_sound_is_no_portrait():
    frames = portrait().frames
    clip = Clip("c", "d", frames, "a face", boxes=portrait().boxes)
    for recipe in ("lip_sync@analyser", "head_motion@shift", "expression@rgb", "identity@pixels"):
        assert get_metric(recipe).compute(Sample(frames, clip, None)).value is None


# SyncNet: its weights are not here, its protocol is.


def test_cepstra_are_those_of_the_textbook():
    """Written out window by window and filter by filter."""
    rng = np.random.default_rng(5)
    samples = rng.integers(-2000, 2000, 1300).astype(np.int16)
    sound = samples.astype(float)
    loud = np.append(sound[0], sound[1:] - 0.97 * sound[:-1])
    found = cepstra(samples)
    assert found.shape == (7, 13)
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    bins = [int(513 * 700 * (10 ** (m / 2595) - 1) / 16000) for m in mel]
    for k in (0, 3):
        spectrum = np.abs(np.fft.rfft(loud[160 * k : 160 * k + 400], 512)) ** 2 / 512
        bands = []
        for low, middle, high in zip(bins, bins[1:], bins[2:], strict=False):
            up = sum(spectrum[i] * (i - low) / (middle - low) for i in range(low, middle))
            down = sum(spectrum[i] * (high - i) / (high - middle) for i in range(middle, high))
            bands.append(np.log(up + down))
        for c in range(1, 13):
            total = sum(b * np.cos(np.pi * c * (j + 0.5) / 26) for j, b in enumerate(bands))
            wanted = np.sqrt(2 / 26) * total * (1 + 11 * np.sin(np.pi * c / 22))
            assert found[k, c] == pytest.approx(wanted, rel=1e-9)
        assert found[k, 0] == pytest.approx(np.log(spectrum.sum()))


def test_the_networks_weights_have_the_published_names_and_sizes():
    shapes = {name: tuple(x.shape) for name, x in build().state_dict().items()}
    assert shapes["netcnnaud.0.weight"] == (64, 1, 3, 3)
    assert shapes["netcnnaud.18.weight"] == (512, 256, 5, 4)
    assert shapes["netcnnlip.0.weight"] == (96, 3, 5, 7, 7)
    assert shapes["netcnnlip.18.weight"] == (512, 256, 1, 6, 6)
    assert shapes["netfcaud.3.weight"] == shapes["netfclip.3.weight"] == (1024, 512)


class Heard:
    """Stands for SyncNet: a mouth's embedding is its opening, a sound's the loudness."""

    def mouths(self, faces):
        import torch

        dark = (faces.astype(float).mean(-1) < 45).sum((1, 2))
        return torch.tensor(dark[: len(faces) - 5] / dark.max())[:, None].float() * 20

    def sounds(self, samples, count):
        import torch

        loud = np.sqrt((samples.astype(float) ** 2).reshape(-1, 640).mean(1))
        return torch.tensor(loud[:count] / loud.max())[:, None].float() * 20


def test_sync_prefers_the_sound_that_belongs_to_the_mouth(monkeypatch):
    monkeypatch.setattr(sync, "syncnet", Heard)
    face, sounds = draw_face(np.random.default_rng(7)), []
    for k in (1, 2):
        sounds.append(speak(np.random.default_rng(k), 60 / FPS))
    still = Motion(np.zeros(60), np.zeros(60), np.ones(60))
    frames = render_frames(face, still, opening(sounds[0], 60))
    boxes = np.repeat(portrait().boxes[:, :1], 60, axis=1)
    right, wrong = (
        TalkingClip("c", "d", frames, "", FPS, boxes=boxes, audio=sound) for sound in sounds
    )

    def found(recipe, clip):
        return get_metric(recipe).compute(Sample(frames, clip, None)).value

    assert found("sync_d@syncnet-v2", right) < found("sync_d@syncnet-v2", wrong)
    assert found("sync_c@syncnet-v2", right) > found("sync_c@syncnet-v2", wrong)


def test_distances_are_those_of_every_shift():
    import torch

    mouths, sounds = torch.randn(2, 20, 4).unbind(0)
    found = sync.shifted_distances(mouths, sounds)
    for t, shift in ((3, 0), (10, -7), (19, 15)):
        heard = sounds[t + shift] if 0 <= t + shift < 20 else torch.zeros(4)
        wanted = torch.linalg.norm(mouths[t] - heard)
        assert found[t, shift + sync.SHIFT] == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize("recipe", ["sync_c@syncnet-v2", "sync_d@syncnet-v2", "identity@arcface"])
def test_missing_weights_are_named_and_give_no_number(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    metric = get_metric(recipe)
    assert metric.extractor_digest == "absent"
    with pytest.raises(MissingExtractor, match="make extractors"):
        metric.compute(Sample(portrait().frames, portrait(), None))
