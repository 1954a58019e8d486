"""Clips are the same bytes wherever they come from, and are named by them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from data.__main__ import main
from data.clip import Clip
from data.datasets import FOLDER, load_dataset
from data.digest import sha256_file
from data.errors import UserError
from data.lock import read_lock
from data.prepared import read_clip, write_clip
from tests.test_data_manifest import GOOD

TWO_CLIPS = GOOD + GOOD[GOOD.index("  disc:") :].replace("disc:", "ball:").replace("red", "cyan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(TWO_CLIPS, encoding="utf-8")
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder and its digest."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256_file(path) for path in files}


def equal(a: object, b: object) -> bool:
    """Equality of clips, flows, edits and what is in them, arrays by type and bytes."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if hasattr(a, "__dataclass_fields__"):
        return all(equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return a == b


def test_preparing_twice_gives_the_same_bytes(folder):
    first = load_dataset("small", folder).prepare()
    before = contents(folder)
    for path in first.iterdir():
        path.unlink()
    load_dataset("small", folder).prepare()
    assert contents(folder) == before
    assert set(before) == {
        "small.yaml", "small.lock.json",
        "prepared/small/disc.npz", "prepared/small/ball.npz", "prepared/small/index.json",
    }  # fmt: skip


def test_a_prepared_clip_is_the_built_clip(folder):
    built = load_dataset("small", folder).clip("disc")
    load_dataset("small", folder).prepare()
    assert equal(load_dataset("small", folder).clip("disc"), built)
    assert built.edits["colour"].oracle.shape == (2, 64, 64, 3)


def test_a_clip_without_truth_survives_the_file(tmp_path):
    clip = Clip("c", "d", np.zeros((1, 9, 7, 3), np.uint8), "a prompt", 12.5, attribution="me")
    write_clip(tmp_path / "c.npz", clip)
    assert equal(read_clip(tmp_path / "c.npz"), clip)


def test_a_summary_is_the_clip_without_its_frames(folder):
    dataset = load_dataset("small", folder)
    clip, summary = dataset.clip("disc"), dataset.summary("disc")
    assert (summary.n_frames, summary.height, summary.width) == clip.frames.shape[:3]
    assert summary.prompt == clip.prompt
    edit = clip.edits["colour"]
    found = summary.edits["colour"]
    assert (found.kind, found.prompt, found.words) == (edit.kind, edit.prompt, edit.words)
    assert found.has_oracle


def test_the_summary_does_not_depend_on_being_prepared(folder):
    before = load_dataset("small", folder).summary("ball")
    load_dataset("small", folder).prepare()
    assert load_dataset("small", folder).summary("ball") == before


def test_digests_follow_content(folder):
    before = load_dataset("small", folder).summary("disc")
    changed = TWO_CLIPS.replace("{colour: blue}", "{colour: green}", 1)
    (folder / "small.yaml").write_text(changed, encoding="utf-8")
    after = load_dataset("small", folder).summary("disc")
    assert after.digest == before.digest
    assert after.edit_digests["colour"] != before.edit_digests["colour"]


def test_a_changed_entry_is_not_read_from_the_old_prepared_file(folder):
    old = load_dataset("small", folder)
    old.prepare()
    moved = TWO_CLIPS.replace("x: 30", "x: 34")
    (folder / "small.yaml").write_text(moved, encoding="utf-8")
    assert not equal(load_dataset("small", folder).clip("disc").frames, old.clip("disc").frames)


def test_a_damaged_prepared_file_is_noticed(folder):
    path = load_dataset("small", folder).prepare() / "disc.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"disc\.npz: missing or damaged. Run `python -m data"):
        load_dataset("small", folder).clip("disc")


def test_bytes_other_than_the_locked_ones_are_refused_until_relocked(folder):
    load_dataset("small", folder).prepare()
    lock = folder / "small.lock.json"
    content = json.loads(lock.read_text())
    content["clips"]["disc"]["frames"] = "0" * 64
    lock.write_text(json.dumps(content))
    dataset = load_dataset("small", folder)
    for attempt in (dataset.clip, dataset.check, lambda _: dataset.prepare()):
        with pytest.raises(UserError, match="'disc' no longer has the locked bytes"):
            attempt("disc")
    dataset.prepare(relock=True)
    load_dataset("small", folder).check("disc")


def test_an_interrupted_preparation_leaves_nothing_in_use(folder):
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset("small", folder).prepare(report=stop)
    prepared = folder / "prepared" / "small"
    made = {path.name for path in prepared.iterdir()}
    clips = {f"{name}.npz" for name in load_dataset("small", folder).clip_ids}
    assert "disc.npz" in made <= clips  # whole, but not indexed
    assert load_dataset("small", folder).clip("disc").id == "disc"


def test_clips_prepared_side_by_side_are_the_same_bytes(folder):
    dataset, contents = load_dataset("small", folder), []
    for workers in (1, 3):
        prepared = dataset.prepare(workers=workers)
        contents.append({path.name: path.read_bytes() for path in prepared.iterdir()})
    assert contents[0] == contents[1] and "index.json" in contents[0]


@pytest.mark.parametrize("name", ["world", "footage"])
def test_the_committed_lock_covers_the_manifest_as_it_is(name):
    dataset = load_dataset(name)
    locks = read_lock(FOLDER / f"{name}.lock.json")
    assert list(locks) == dataset.clip_ids
    for clip_id in dataset.clip_ids:
        assert locks[clip_id].entry == dataset._source.outline(clip_id).entry


@pytest.mark.parametrize("name", ["world", "footage"])
def test_a_clip_made_here_has_the_committed_bytes(name):
    dataset = load_dataset(name)
    dataset.check(dataset.clip_ids[0])


@pytest.mark.parametrize(
    "name",
    [
        "footage",
        "layouts",
        "layouts-round",
        "layouts-tuning",
        "portraits",
        pytest.param("world", marks=pytest.mark.slow),
    ],
)
def test_dvc_tracks_just_what_preparing_gives(name, tmp_path):
    """The pointer's digest is DVC's own: MD5 over the JSON list of the files' MD5s and paths."""
    shutil.copy(FOLDER / f"{name}.yaml", tmp_path)
    (tmp_path / "recordings").symlink_to(FOLDER / "recordings")  # what portraits' manifest names
    prepared = load_dataset(name, tmp_path).prepare()
    listing = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.name}
        for path in sorted(prepared.iterdir())
    ]
    digest = hashlib.md5(json.dumps(listing).encode()).hexdigest()
    assert f"md5: {digest}.dir" in (FOLDER / "prepared" / f"{name}.dvc").read_text()


def test_summaries_load_no_torch_and_decode_nothing():
    code = (
        "import sys; from data.datasets import load_dataset\n"
        "for name in ('world', 'footage'):\n"
        "    dataset = load_dataset(name)\n"
        "    [dataset.summary(clip) for clip in dataset.clip_ids]\n"
        "assert not {'torch', 'av', 'cv2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parent)


def test_the_command_lists_clips_and_explains_a_wrong_name(capsys):
    assert main(["list", "footage"]) == 0
    assert 'rabbit  16x64x64  "a photo of a grey rabbit' in capsys.readouterr().out
    assert main(["check", "fotage"]) == 1
    assert "Did you mean 'footage'?" in capsys.readouterr().err
