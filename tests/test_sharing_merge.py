"""Packs are bytes that follow from their cells, and two stores come together without a loss."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import UserError
from experiments.atomic import DiskFull, read_sealed, write_sealed
from experiments.command_line import main
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.score import run_batch
from experiments.sharing import choose as choosing
from experiments.sharing.choose import choose
from experiments.sharing.items import Item, make_item, stored_item
from experiments.sharing.packs import Pack, unpack, write_pack
from experiments.store import Store
from experiments.targets import targets_of
from tests.fakes import fake_catalogue, write_experiment
from tests.test_engine_robustness import no_space
from tests.two_users import MORE, TOY


def item(name: str, size: int = 1) -> Item:
    return Item(name, (f"results/{name}",), f"digest of {name}", size)


def pack(name: str, *items: str) -> Pack:
    return Pack(name, 1, {item: f"digest of {item}" for item in items})


def here(name: str) -> str | None:
    return f"digest of {name}"


CELLS = [f"cells/{n}" for n in range(8)]


def test_what_is_packed_stays_packed_and_the_rest_is_added() -> None:
    old = pack("a", *CELLS[:6])
    kept, new = choose([item(name) for name in CELLS], [old], here)
    assert kept == [old]
    assert [[i.name for i in items] for items in new] == [CELLS[6:]]


@pytest.mark.parametrize(
    ("known", "present"),
    [
        (pack("a", *CELLS[:3], *(f"cells/other-{n}" for n in range(4))), here),  # mostly useless
        (pack("a", *CELLS[:3]), lambda name: None if name == CELLS[0] else here(name)),  # gone
        (pack("a", *CELLS[:3]), lambda name: "changed" if name == CELLS[0] else here(name)),
        (pack("a", "cells/other"), here),
    ],
)
def test_a_pack_that_does_not_serve_is_dropped(
    known: Pack, present: Callable[[str], str | None]
) -> None:
    kept, new = choose([item(name) for name in CELLS], [known], present)
    assert kept == [] and [[i.name for i in items] for items in new] == [CELLS]


def test_frames_scores_and_tables_lie_apart_and_packs_have_a_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choosing, "PACK_BYTES", 10)
    items = [item(name, 4) for name in ("tables/x", "scores/1", "cells/2", "inversions/1")]
    items += [item("cells/1", 4), item("cells/3", 25)]
    packed = [[i.name for i in items] for items in choose(items, [], here)[1]]
    assert packed == [
        ["cells/1", "cells/2"], ["cells/3"], ["inversions/1"], ["scores/1"], ["tables/x"]
    ]  # fmt: skip


def make(folder: Path, text: str = TOY) -> tuple[Plan, Store]:
    """An experiment that has been run."""
    folder.mkdir(exist_ok=True)
    plan, store = (
        make_plan(write_experiment(folder, text), fake_catalogue()),
        Store(folder / "results"),
    )
    for shard in plan.shards:
        ShardRunner(plan, shard, store, fake_catalogue()).run()
    for batch in targets_of(plan, store, fake_catalogue()).batches:
        run_batch(batch, store, fake_catalogue())
    return plan, store


def merge(store: Store, other: Store) -> int:
    """Run ``python -m experiments merge``; its exit status."""
    return main(["--results", str(store.root), "merge", str(other.root)], fake_catalogue())


def contents(store: Store) -> dict[Path, bytes]:
    return {
        path.relative_to(store.root): path.read_bytes()
        for path in store.root.rglob("*")
        if path.is_file() and path.parent.name != "locks"
    }


def alter(store: Store, cell: str, change: Callable[[np.ndarray], None]) -> None:
    """Give a cell other frames, as another machine would have made them."""
    record, frames = store.run(cell), store.frames(cell).copy()
    change(frames)
    store.write_frames(cell, frames, record)


def blend(plan: Plan) -> str:
    return next(cell.id for cell in plan.cells.values() if cell.method.name == "blend")


def test_equal_items_give_equal_packs_wherever_they_lie(tmp_path: Path) -> None:
    plan, _ = make(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    names = [f"cells/{cell}" for cell in plan.cells]
    made = []
    for root, order in ((tmp_path / "one", names), (tmp_path / "two", names[::-1])):
        for path in root.rglob("*.json"):
            path.touch()
        items = [stored_item(Store(root / "results"), name) for name in order]
        made.append(write_pack(root, items, tmp_path / "packs"))
    assert made[0] == made[1]
    assert made[0].intact(tmp_path / "packs")
    unpack(made[0].path(tmp_path / "packs"), tmp_path / "three")
    restored = Store(tmp_path / "three" / "results")
    assert all(restored.valid(cell) for cell in plan.cells)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/tmp/outside", tarfile.REGTYPE),
        ("results/cells/../../outside", tarfile.REGTYPE),
        ("reports/x/../../outside", tarfile.REGTYPE),
        ("experiments/cells.py", tarfile.REGTYPE),
        (f"results/cells/{'0' * 16}/run.json", tarfile.SYMTYPE),
        (f"results/cells/{'0' * 16}/other.json", tarfile.REGTYPE),
    ],
)
def test_a_pack_writes_results_and_nothing_else(name: str, kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "../../../outside"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(UserError, match="no part of any result"):
        unpack(tmp_path / "bad.tar", tmp_path / "root")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["bad.tar"]


def test_no_room_for_a_pack_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x.parquet").write_bytes(b"x")
    given = make_item(tmp_path, "tables/x", [tmp_path / "results" / "x.parquet"])
    monkeypatch.setattr(tarfile.TarFile, "addfile", no_space)
    with pytest.raises(DiskFull):
        write_pack(tmp_path, [given], tmp_path / "packs")
    assert list((tmp_path / "packs").iterdir()) == []


def test_a_union_has_what_either_had(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    _, left = make(tmp_path / "left")
    plan, right = make(tmp_path / "right", MORE)
    before = contents(left)
    assert merge(left, right) == 0
    assert "2 cells, 2 scores added, 5 cells were here already" in capsys.readouterr().out
    after = contents(left)
    assert before.items() <= after.items()  # costs differ, and what was here stays
    assert all(left.valid(cell) and left.scores(cell) for cell in plan.cells)
    assert merge(left, right) == 0
    assert contents(left) == after


def test_other_frames_are_told_and_kept_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    plan, left = make(tmp_path / "left")
    shutil.copytree(tmp_path / "left", tmp_path / "right")
    right, cell = Store(tmp_path / "right" / "results"), blend(plan)

    def darken(frames: np.ndarray) -> None:
        frames[1, 3, 4, 0] ^= 2

    alter(right, cell, darken)
    mine = contents(left)
    assert merge(left, right) == 1
    said = capsys.readouterr().err
    assert f"cell {cell} (blend disc" in said
    assert "1 of 4 frames differ, by up to 2 of 255" in said
    after = contents(left)
    assert mine.items() <= after.items()
    (kept,) = (left.root / "conflicts" / "cells").iterdir()
    assert (kept / "frames.npz").read_bytes() == (right.cell(cell) / "frames.npz").read_bytes()
    assert merge(left, right) == 1  # told again, kept once
    assert contents(left) == after
    shutil.rmtree(left.cell(cell))  # as the message says, to take the other one
    assert merge(left, right) == 0
    np.testing.assert_array_equal(left.frames(cell), right.frames(cell))


def test_a_failure_here_and_frames_there_is_a_conflict(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    plan, left = make(tmp_path / "left")
    shutil.copytree(tmp_path / "left", tmp_path / "right")
    cell = blend(plan)
    left.write_failure(cell, "out of memory", "", left.run(cell))
    assert merge(left, Store(tmp_path / "right" / "results")) == 1
    assert "'out of memory' here, 'ok' there" in capsys.readouterr().err
    assert left.status(cell) == "out of memory"


@pytest.mark.parametrize("kind", ["inversions", "tunings"])
def test_other_latents_or_weights_are_a_conflict(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    _, left = make(tmp_path / "left")
    shutil.copytree(left.root / "inversions", left.root / "tunings")  # files of the same make
    shutil.copytree(tmp_path / "left", tmp_path / "right")
    right = Store(tmp_path / "right" / "results")
    record = next((right.root / kind).glob("*.json"))
    latents = record.with_suffix(".safetensors")
    latents.write_bytes(latents.read_bytes() + b"other")
    digest = hashlib.sha256(latents.read_bytes()).hexdigest()
    write_sealed(record, read_sealed(record) | {"file_sha256": digest})
    mine = contents(left)
    assert merge(left, right) == 1
    assert f"{kind}/{record.stem}: other bytes" in capsys.readouterr().err
    assert mine.items() <= contents(left).items()


def change_score(store: Store, cell: str, **changes: Any) -> str:
    """Alter one score of a cell; the edit that it is of."""
    scores = store.scores(cell)
    edit = next(iter(scores))
    scores[edit]["mean@pixels"] |= changes
    store.write_scores(cell, scores)
    return edit


def test_scores_meet_by_edit_recipe_and_code(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plan, left = make(tmp_path / "left")
    shutil.copytree(tmp_path / "left", tmp_path / "right")
    right, cell = Store(tmp_path / "right" / "results"), blend(plan)
    good = left.scores(cell)
    # Older code here: the score of this checkout's metric is taken.
    change_score(left, cell, value=1.0, mark="older code")
    assert merge(left, right) == 0
    assert left.scores(cell) == good
    # Older code there: what is here stays.
    change_score(right, cell, value=1.0, mark="older code")
    assert merge(left, right) == 0
    assert left.scores(cell) == good
    # No number here, for want of an extractor: the number is taken.
    edit = change_score(left, cell, value=None, reason="no extractor")
    change_score(right, cell, **good[edit]["mean@pixels"])
    assert merge(left, right) == 0
    assert left.scores(cell) == good
    # The same code and another number: told, kept apart, and what is here stays.
    capsys.readouterr()
    change_score(right, cell, value=7.0)
    assert merge(left, right) == 1
    assert "mean@pixels is" in capsys.readouterr().err
    assert left.scores(cell) == good
    assert len(list((left.root / "conflicts" / "scores").iterdir())) == 1


def test_what_is_damaged_there_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plan, right = make(tmp_path / "right")
    left = Store(tmp_path / "left" / "results")
    cell = blend(plan)
    (right.cell(cell) / "frames.npz").write_bytes(b"half")
    assert merge(left, right) == 1
    assert f"damaged where it came from: cells/{cell}" in capsys.readouterr().err
    assert not left.cell(cell).exists()
    assert all(left.valid(other) for other in plan.cells if other != cell)


def test_merge_wants_another_results_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    _, store = make(tmp_path / "left")
    assert merge(store, Store(tmp_path / "left")) == 2
    assert "no results folder" in capsys.readouterr().err
    assert merge(store, store) == 2
    assert "is the folder that it would be merged into" in capsys.readouterr().err
