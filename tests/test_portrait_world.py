"""The portrait world: mouths follow the sound, and what is known of a face is what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.datasets import load_dataset
from data.errors import UserError
from data.portraits.analyser import mouth_opening
from data.portraits.face import HAIRS, INSIDE, LIPS, SKINS, Motion, held_out
from data.portraits.loudness import FPS, levelled, opening
from data.portraits.render import LANDMARKS, OPEN, render_frames, render_truth
from data.portraits.sample import draw_face, draw_motion
from data.portraits.voice import speak
from data.speech import Audio
from experiments.clips import first_frames


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def still(n: int) -> Motion:
    return Motion(np.zeros(n), np.zeros(n), np.ones(n))


def test_the_mouth_is_as_open_as_it_is_drawn():
    """Counted in another way than the analyser's: dark pixels in the middle column of the mouth."""
    face = draw_face(rng(1))
    wanted = np.linspace(0, 1, 11)
    frames = render_frames(face, still(11), wanted)
    column = frames[:, :, round(face.x - 0.5)].astype(float)
    dark = np.abs(column - INSIDE).sum(-1) < np.abs(column - LIPS).sum(-1)
    below = slice(int(face.y) + 4, 54)
    assert np.abs(dark[:, below].sum(1) / (2 * OPEN) - wanted).max() < 0.12


@pytest.mark.parametrize("noise", [0.0, 10.0])
def test_the_analyser_reads_faces_it_has_never_seen(noise):
    drawn, read = [], []
    for k in range(12):
        face, motion = draw_face(rng(2, k), unseen=bool(k % 2)), draw_motion(rng(3, k), 16)
        drawn.append(opening(speak(rng(4, k), 16 / FPS), 16))
        frames = render_frames(face, motion, drawn[-1]) + noise * rng(5, k).standard_normal(
            (16, 64, 64, 3)
        )
        read.append(mouth_opening(frames.clip(0, 255).astype(np.uint8)))
    drawn, read = np.concatenate(drawn), np.concatenate(read)
    assert np.corrcoef(drawn, read)[0, 1] > 0.99
    assert np.abs(drawn - read).mean() < 0.03


def test_the_analyser_refuses_pictures_of_another_size():
    with pytest.raises(ValueError, match="64"):
        mouth_opening(np.zeros((1, 32, 32, 3), np.uint8))


def test_masks_boxes_and_landmarks_are_where_the_face_is():
    face, motion = draw_face(rng(6)), draw_motion(rng(7), 8)
    opened = np.linspace(0, 1, 8)
    frames, truth = render_frames(face, motion, opened), render_truth(face, motion, opened)
    mouth = dict(zip(LANDMARKS, truth.landmarks.transpose(1, 0, 2), strict=True))
    inside = mouth["lower lip"][:, 1] - mouth["upper lip"][:, 1]
    assert np.all(np.diff(inside) > 0)
    for t in range(8):
        x0, y0, x1, y1 = truth.boxes[1, t]
        rows, columns = truth.masks[1, t].nonzero()
        assert abs(columns.min() - x0) < 1 and abs(columns.max() + 1 - x1) < 1
        assert abs(rows.min() - y0) < 1 and abs(rows.max() + 1 - y1) < 1
        x, y = mouth["nose"][t]
        cheek = frames[t, int(y) + 2, int(x) - 5].astype(float)
        assert np.abs(cheek - SKINS[face.skin]).max() < 30
        assert truth.masks[0, t, int(y), int(x)] and not truth.masks[0, t, 2, 2]


def test_outside_the_head_and_body_nothing_moves():
    face, motion = draw_face(rng(8)), draw_motion(rng(9), 12)
    frames = render_frames(face, motion, np.linspace(0, 1, 12))
    assert (frames[:, :40, :8] == frames[:1, :40, :8]).all()


def test_a_loud_sound_opens_the_mouth_and_silence_closes_it():
    rate = 16_000
    t = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * 200 * t) * (t > 0.5)
    opened = opening(levelled(tone, rate), 25)
    assert opened[:11].max() == 0 and opened[15:].min() > 0.7
    assert opening(Audio(np.zeros(rate, np.int16)), 25).max() == 0


def test_a_quiet_recording_speaks_with_the_same_mouth_as_a_loud_one():
    voice = speak(rng(10), 2.0).samples.astype(float)
    loud, quiet = (opening(levelled(gain * voice, 16_000), 50) for gain in (1.0, 0.01))
    assert np.abs(loud - quiet).max() < 0.01


def test_other_voices_say_other_things():
    """What keeps a mouth that moves anyhow from passing for one that follows its sound."""
    openings = np.stack([opening(speak(rng(11, k), 1.28), 32) for k in range(40)])
    between = np.corrcoef(openings)[np.triu_indices(40, 1)]
    assert abs(between.mean()) < 0.05
    assert openings.std(axis=1).min() > 0.1


def test_every_skin_and_hair_is_in_training_but_no_held_out_triple():
    seen = [draw_face(rng(12, k)) for k in range(200)]
    assert {face.skin for face in seen} == set(SKINS) and {face.hair for face in seen} == set(HAIRS)
    assert not any(held_out(face.skin, face.hair, face.ground) for face in seen)
    unseen = [draw_face(rng(13, k), unseen=True) for k in range(50)]
    assert all(held_out(face.skin, face.hair, face.ground) for face in unseen)


def test_the_dataset_holds_unseen_faces_their_sound_and_the_true_answers():
    dataset = load_dataset("portraits")
    clip = dataset.clip(dataset.clip_ids[0])
    assert clip.fps == FPS and len(clip.audio.samples) == len(clip.frames) * 640
    assert np.array_equal(clip.edits["own"].oracle, clip.frames)
    other = clip.edits["other"]
    assert np.array_equal(other.opening, opening(other.audio, len(clip.frames)))
    assert np.corrcoef(mouth_opening(other.oracle), other.opening)[0, 1] > 0.98
    assert np.corrcoef(mouth_opening(clip.frames), other.opening)[0, 1] < 0.6
    head = (clip.masks[0] | other.oracle_masks[0]) | clip.masks[1]
    apart = (clip.frames != other.oracle).any(-1)
    assert not (apart & ~head).any()


def test_a_photo_speaks_a_recording():
    clip = load_dataset("portraits").clip("astronaut")
    assert (clip.frames == clip.frames[0]).all() and clip.opening is None
    said = clip.edits["reading"]
    assert len(said.audio.samples) == 640 * len(clip.frames) and said.oracle is None
    assert opening(said.audio, len(clip.frames)).max() > 0.6
    assert "LibriVox" in clip.attribution


def test_sound_is_part_of_what_names_an_edit():
    summary = load_dataset("portraits").summary("reader")
    assert len(summary.edits["reading"].audio) == 64
    older = load_dataset("world")
    assert older.summary(older.clip_ids[0]).edits["colour"].audio == ""


def test_the_first_frames_of_a_clip_come_with_their_sound():
    dataset = load_dataset("portraits")
    clip = first_frames(dataset.clip(dataset.clip_ids[0]), 10)
    assert len(clip.audio.samples) == 6400 and len(clip.opening) == 10
    assert len(clip.edits["other"].audio.samples) == 6400
    assert len(clip.edits["other"].opening) == 10


def test_a_recording_that_is_another_is_refused_with_its_line(tmp_path: Path):
    folder = Path(load_dataset("portraits").prepared).parents[1]
    text = (folder / "portraits.yaml").read_text().replace("fbec491e", "00000000")
    (tmp_path / "portraits.yaml").write_text(text)
    (tmp_path / "recordings").symlink_to(folder / "recordings")
    with pytest.raises(UserError, match=r"portraits\.yaml:\d+: clip 'reader'.*SHA-256"):
        load_dataset("portraits", tmp_path).clip("reader")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("hair: grey", "hair: gray", "Did you mean 'grey'"),
        ("voice: 9000001", "voice: -1", "greater than or equal to 0"),
        ("{voice: 9000001}", "{}", "give either `voice` (a seed) or `recording`"),
    ],
)
def test_a_wrong_entry_is_named_with_its_line(tmp_path: Path, old, new, said):
    folder = Path(load_dataset("portraits").prepared).parents[1]
    text = (folder / "portraits.yaml").read_text()
    assert old in text
    (tmp_path / "portraits.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load_dataset("portraits", tmp_path)
    assert said in str(error.value) and "portraits.yaml:" in str(error.value)
