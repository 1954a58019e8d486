"""A report is held to its word: files, weights, code, and cells computed once more."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data.errors import UserError
from experiments.atomic import SEAL, canonical
from reports.verify import verify
from tests.fakes import fake_catalogue
from tests.two_users import TOY, User, join, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose report is committed, results are not."""
    folder = tmp_path_factory.mktemp("verify")
    user = make_project(folder)
    user.run()
    user.commit("Report")
    return folder


@pytest.fixture
def user(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    """Somebody who has cloned it; the toys' network needs no torch."""
    monkeypatch.setattr("experiments.shard_command.prepare_torch", lambda *a, **k: "cpu")
    return join(project, str(tmp_path / "clone"))


def report(user: User) -> Path:
    return (user.root / "reports" / "toy" / "latest").resolve()


def change(user: User, alter: Callable[[dict[str, Any]], None], *, seal: bool = True) -> None:
    """Alter the record, sealing it anew as an author would."""
    path = report(user) / "provenance.json"
    record = json.loads(path.read_text())
    alter(record)
    if seal:
        del record[SEAL]
        record[SEAL] = hashlib.sha256(canonical(record)).hexdigest()
    path.write_text(json.dumps(record))


def test_a_report_names_commit_tree_data_weights_and_lock(user: User) -> None:
    told = json.loads((report(user) / "provenance.json").read_text())
    commits = user.git("log", "--format=%H").split()
    assert told["revision"] in commits and told["code"]["commit"] == told["revision"][:7]
    assert told["code"]["dirty"] is False and told["changed"] == []
    assert len(told["lock"]) == 64
    assert told["backbones"] == {"toy": "d1"}
    assert set(told["clips"]) == {"toys/disc"}
    assert set(told["frames"]) == set(user.plan.cells)
    assert list(told["runs"]["lock"]) == [told["lock"]]
    assert set(told["files"]) == {"cells.csv", "metrics.json"}


def test_cells_are_computed_again_and_match(user: User) -> None:
    checks = verify("toy", user.root, 5, fake_catalogue())
    assert all(check.matches for check in checks)
    assert [check.told for check in checks[1:]].count("the same frames, the same 1 scores") == 4
    assert checks[-1].name.endswith("same disc seed 0")  # what needs no network comes last
    assert "the same 2 scores" in checks[-1].told  # held against both edits
    assert not user.store.root.exists()  # a scratch store, not this one


def test_as_many_cells_as_asked_for_and_always_the_same(user: User) -> None:
    names = [[c.name for c in verify("toy", user.root, 2, fake_catalogue())] for _ in range(2)]
    assert len(names[0]) == 3 and names[0] == names[1]


def test_other_frames_and_other_scores_are_told(project: Path, user: User) -> None:
    def lie(record: dict[str, Any]) -> None:
        record["frames"] = dict.fromkeys(record["frames"], "0" * 64)

    change(user, lie)
    checks = verify("toy", user.root, 1, fake_catalogue())
    assert checks[0].matches and not checks[1].matches
    assert checks[1].told == "other frames"
    user.git("checkout", "reports")
    cells = report(user) / "cells.csv"
    lines = cells.read_text().splitlines()
    at = lines[0].split(",").index("mean@pixels")
    wrong = [",".join([*p[:at], "1.5", *p[at + 1 :]]) for p in (x.split(",") for x in lines[1:])]
    cells.write_text("\n".join([lines[0], *wrong]))
    checks = verify("toy", user.root, 1, fake_catalogue())
    assert checks[0].told == "altered or missing: cells.csv"
    assert "the same frames, but mean@pixels is" in checks[1].told
    assert "and 1.5 in the report" in checks[1].told


def test_by_how_much_frames_differ_is_told_where_they_are_at_hand(
    project: Path, user: User
) -> None:
    shutil.copytree(project / "first" / "results", user.store.root)
    for cell in user.plan.cells:
        frames = user.store.frames(cell).copy()
        frames[0, 0, 0, 0] ^= 1
        user.store.write_frames(cell, frames, user.store.run(cell))
    change(
        user,
        lambda r: r.update(frames={c: user.store.run(c)["frames_sha256"] for c in r["frames"]}),
    )
    told = verify("toy", user.root, 1, fake_catalogue())[1].told
    assert "1 of 4 frames differ, by up to 1 of 255" in told


def test_an_altered_record_is_not_believed(user: User) -> None:
    change(user, lambda record: record.update(seeds=[7]), seal=False)
    with pytest.raises(UserError, match="was altered after the report was rendered"):
        verify("toy", user.root, 1, fake_catalogue())


def test_a_report_of_an_older_version(user: User) -> None:
    change(user, lambda record: record.pop("frames"))
    with pytest.raises(UserError, match="rendered by an older version"):
        verify("toy", user.root, 1, fake_catalogue())


def test_other_weights_are_named(user: User) -> None:
    info = SimpleNamespace(name="toy", digest="d2", prediction_type="epsilon")
    other = replace(fake_catalogue(), backbone=lambda name: info)
    with pytest.raises(UserError) as error:
        verify("toy", user.root, 1, other)
    assert "the weights of 'toy' are d2, the report's d1" in str(error.value)
    assert "`git checkout " in str(error.value)


def test_other_code_is_named(user: User) -> None:
    other = replace(fake_catalogue(), backbone_modules={"epsilon": ("tests.fake_clips",)})
    with pytest.raises(UserError) as error:
        verify("toy", user.root, 1, other)
    assert "the code behind blend differs, so 4 of its 5 cells" in str(error.value)


def test_another_experiment_is_named(user: User) -> None:
    (user.root / "experiments" / "toy.yaml").write_text(TOY.replace("[0.5]", "[0.7]"))
    with pytest.raises(UserError, match="the experiment, or code, behind blend differs"):
        verify("toy", user.root, 1, fake_catalogue())
