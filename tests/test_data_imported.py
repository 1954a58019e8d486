"""Other benchmarks' own files become clips; a broken row is named by file, line and key."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from data.datasets import Dataset, load_dataset
from data.errors import Missing, UserError
from data.pie_bench import decode

HEADER = ["Video name", "Our GT caption", "Style Change Caption", "Object Change Caption",
          "Background Change Caption", "Multiple Changes Caption"]  # fmt: skip
SWAN = ["blackswan", "a swan, on a lake", "an oil painting of a swan", "a duck on a lake",
        "a swan in the desert", "an oil painting of a duck"]  # fmt: skip
JUDO = ["judo", "two people", "two people, pixel art", "two robots", "two people, snow", "robots"]


def write(place: Path, name: str, **manifest: object) -> Dataset:
    """A dataset whose manifest says this."""
    text = yaml.safe_dump({"title": name, **manifest}, sort_keys=False)
    (place / f"{name}.yaml").write_text(text)
    return load_dataset(name, place)


def pictures(folder: Path, size: tuple[int, int], shades: list[int]) -> None:
    """Grey JPEGs, width by height."""
    folder.mkdir(parents=True)
    for at, shade in enumerate(shades):
        Image.new("RGB", size, (shade,) * 3).save(folder / f"{at:05d}.jpg")


# LOVEU-TGVE


def sheet(folder: Path, *rows: list[str], header: list[str] = HEADER) -> Dataset:
    folder.mkdir(exist_ok=True)
    with (folder / "LOVEU-TGVE-2023_Dataset.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return write(folder, "tgve", loader="loveu", sheet="LOVEU-TGVE-2023_Dataset.csv")


def test_the_sheet_of_loveu_gives_four_edits_of_every_video(tmp_path: Path) -> None:
    for part, name in (("DAVIS_480p", "blackswan"), ("youtube_480p", "judo")):
        pictures(tmp_path / part / "480p_frames" / name, (60, 40), [10, 20, 30])
    blank = [""] * 6
    dataset = sheet(
        tmp_path, ["DAVIS Videos:", *blank[1:]], SWAN, blank, ["Youtube Videos:", *blank[1:]], JUDO
    )
    assert dataset.clip_ids == ["blackswan", "judo"]
    clip = dataset.clip("blackswan")
    assert clip.frames.shape == (3, 480, 480, 3)  # the benchmark leaves the aspect aside
    assert [round(frame.mean()) for frame in clip.frames] == [10, 20, 30]
    assert clip.prompt == "a swan, on a lake"
    kinds = {name: (edit.kind, edit.prompt) for name, edit in clip.edits.items()}
    assert kinds == {
        "style": ("style", SWAN[2]), "object": ("object", SWAN[3]),
        "background": ("ground", SWAN[4]), "multiple": ("multiple", SWAN[5]),
    }  # fmt: skip


def test_broken_rows_of_the_sheet_are_told_together_with_their_lines(tmp_path: Path) -> None:
    torn = [*JUDO[:3], "", *JUDO[4:]]
    with pytest.raises(UserError) as caught:
        sheet(tmp_path, SWAN, ["Vimeo Videos:"], ["DAVIS Videos:"], torn, SWAN, SWAN,
              ["../up", *SWAN[1:]])  # fmt: skip
    told = str(caught.value).splitlines()
    path = tmp_path / "LOVEU-TGVE-2023_Dataset.csv"
    assert [line.removeprefix(f"{path}:").partition(": ")[0] for line in told] == [*"23578"]
    assert "before the first part" in told[0] and "none of its parts" in told[1]
    assert "video 'judo': 'Object Change Caption' is empty" in told[2]
    assert "a second time" in told[3] and "cannot name a file" in told[4]


def test_a_column_of_another_name_and_a_missing_video_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r":1: no column 'Our GT caption'\. Did you mean 'Our GT"):
        sheet(tmp_path / "a", SWAN, header=[HEADER[0], "Our GT Caption", *HEADER[2:]])
    dataset = sheet(tmp_path / "b", ["DAVIS Videos:"], SWAN)
    with pytest.raises(Missing, match=r"Dataset\.csv:3: clip 'blackswan': .*no such file"):
        dataset.clip("blackswan")


# PIE-Bench

ENTRY = {
    "image_path": "6_change_attribute_color_40/1_artificial/611.jpg",
    "original_prompt": "a [red] bird on a branch", "editing_prompt": "a [blue] bird on a branch",
    "editing_instruction": "Change the bird to blue", "editing_type_id": "6",
    "blended_word": "bird bird", "mask": [512 * 100 + 50, 20, 512 * 101 + 50, 20],
}  # fmt: skip


def mapping(folder: Path, **changed: object) -> Dataset:
    entries = {"611000000000": ENTRY, "611000000001": {**ENTRY, **changed}}
    path = folder / "mapping_file.json"
    path.write_text(json.dumps(entries, indent=4))
    return write(folder, "pie", loader="pie-bench", mapping="mapping_file.json")


def test_the_mapping_of_pie_bench_gives_prompts_without_brackets_and_masks(tmp_path: Path) -> None:
    picture = tmp_path / "annotation_images" / ENTRY["image_path"]
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (512, 512), (200, 30, 30)).save(picture)
    clip = mapping(tmp_path).clip("611000000000")
    assert clip.frames.shape == (1, 512, 512, 3) and clip.prompt == "a red bird on a branch"
    edit = clip.edits["edit"]
    assert (edit.kind, edit.prompt) == ("colour", "a blue bird on a branch")
    assert edit.words == (("red", "blue"),)
    expected = np.zeros((1, 1, 512, 512), bool)
    expected[0, 0, 100:102, 50:70] = True
    assert (clip.masks == expected).all()
    assert (decode([512 * 512 - 3, 10]).nonzero()[1] == [509, 510, 511]).all()


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"mask": [5]}, "mask: 1 numbers; starts and lengths come in pairs"),
        ({"mask": [1, 2, 512 * 512, 1]}, "mask: pair 1 is 262144, 1"),
        ({"mask": "1 2"}, "mask: a list of whole numbers"),
        ({"editing_type_id": "12"}, "editing_type_id: 0 to 9 is expected, '12' given"),
        ({"editing_prompt": "[]"}, "editing_prompt: text is expected"),
        ({"image_path": "../../secret.jpg"}, "image_path: the path '../../secret.jpg' leads out"),
    ],
)
def test_a_broken_entry_is_told_with_its_line_and_key(
    tmp_path: Path, changed: dict, told: str
) -> None:
    with pytest.raises(UserError) as caught:
        mapping(tmp_path, **changed)
    lines = (tmp_path / "mapping_file.json").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if '"611000000001"' in text)
    assert f"mapping_file.json:{line}: '611000000001': {told}" in str(caught.value)


def test_a_part_of_the_types_may_be_taken(tmp_path: Path) -> None:
    mapping(tmp_path, editing_type_id="8")
    some = write(tmp_path, "ground", loader="pie-bench", mapping="mapping_file.json", types=["8"])
    assert some.clip_ids == ["611000000001"]


# DAVIS


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """Two objects that move right; one clip without annotations."""
    root = tmp_path / "DAVIS"
    pictures(root / "JPEGImages" / "480p" / "goat", (80, 48), [40, 80, 120])
    pictures(root / "JPEGImages" / "480p" / "camel", (80, 48), [40])
    folder = root / "Annotations" / "480p" / "goat"
    folder.mkdir(parents=True)
    for at in range(3):
        indices = np.zeros((48, 80), np.uint8)
        indices[8:24, 20 + 8 * at : 36 + 8 * at] = 1
        indices[30:40, 40:50], indices[0, :] = 2, 255
        picture = Image.fromarray(indices, "P")
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 759)
        picture.save(folder / f"{at:05d}.png")
    return tmp_path


def asked(*clips: str) -> dict[str, object]:
    entry = {"prompt": "an animal", "edits": {"style": {"kind": "style", "prompt": "a sketch"}}}
    recipe = {"step": 2, "crop": "square", "size": 24}
    return {"loader": "davis", "folder": "DAVIS", "recipe": recipe,
            "clips": dict.fromkeys(clips, entry)}  # fmt: skip


def test_a_davis_folder_gives_frames_and_each_object_s_masks(davis: Path) -> None:
    dataset = write(davis, "mine", **asked("goat", "camel"))
    clip = dataset.clip("goat")
    assert clip.frames.shape == (2, 24, 24, 3) and clip.edits["style"].prompt == "a sketch"
    assert [round(frame.mean(), -1) for frame in clip.frames] == [40, 120]
    assert clip.masks.shape == (2, 2, 24, 24) and clip.masks.dtype == bool
    # Of 80 x 48 the middle 48 columns are kept, at half the size; the second frame is the third.
    expected = np.zeros((2, 24, 24), bool)
    expected[0, 4:12, 2:10] = expected[1, 4:12, 10:18] = True
    assert (clip.masks[0] == expected).all()
    assert dataset.clip("camel").masks is None


def test_other_masks_are_another_clip(davis: Path) -> None:
    before = write(davis, "mine", **asked("goat"))._source.outline("goat").entry
    path = davis / "DAVIS" / "Annotations" / "480p" / "goat" / "00000.png"
    path.write_bytes(path.with_name("00001.png").read_bytes())
    assert write(davis, "mine", **asked("goat"))._source.outline("goat").entry != before


def test_a_clip_that_davis_has_not_is_told_with_the_nearest(davis: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.yaml:\d+: unknown clip of DAVIS 'goats'\. Did you "
                       r"mean 'goat'"):  # fmt: skip
        write(davis, "mine", **asked("goats"))
    (davis / "DAVIS" / "Annotations" / "480p" / "goat" / "00002.png").unlink()
    with pytest.raises(UserError, match=r"clip 'goat': 2 annotations in .* frame 2 .* has none"):
        write(davis, "mine", **asked("goat")).clip("goat")
    with pytest.raises(Missing, match=r"none\.yaml:\d+: .*unpack DAVIS there"):
        write(davis, "none", **asked("goat") | {"folder": "elsewhere"})
