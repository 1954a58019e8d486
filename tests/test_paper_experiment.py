"""The paper's comparison lacks weights and clips alone: planned in full, run only with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UserError
from experiments.catalogue import project_catalogue
from experiments.commands import Desk, show_plan
from experiments.shard_command import run_shard
from experiments.snake import Wanted
from experiments.store import Store
from methods.backbones import locate

FRAMES, EDITS = 40, 3


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The project's experiments on a machine without Stable Diffusion."""
    monkeypatch.setattr(locate, "ROOT", tmp_path)
    monkeypatch.setattr(locate, "_cached", lambda repository: None)
    return Desk(project_catalogue(), store=Store(tmp_path / "results"))


def test_it_is_planned_whole(desk: Desk) -> None:
    """By hand: 50 steps of 40 frames; TokenFlow has 3 branches of 5 keyframes and 40 frames."""
    plan = desk.plan("paper-tokenflow")
    clips = {cell.clip.clip for cell in plan.cells.values()}
    assert {cell.clip.frames for cell in plan.cells.values()} == {FRAMES}
    settings = {}
    for cell in plan.cells.values():
        settings.setdefault(cell.method.name, []).append(cell)
    tokenflow = settings["tokenflow"]
    assert len(tokenflow) == EDITS * len(clips)
    assert plan.alone(tokenflow[0]) == 500 * FRAMES + 50 * 3 * (5 + FRAMES)
    assert {"pnp", "sdedit", "text2video-zero", "reconstruct", "source"} <= settings.keys()
    released = tokenflow[0].setting
    assert released == type(released)()  # the released settings are the method's defaults


def test_the_plan_says_what_is_to_be_fetched(desk: Desk, capsys) -> None:
    assert show_plan(desk, "paper-tokenflow") == 0
    text = capsys.readouterr().out
    assert "network evaluations, shared" in text
    assert "to fetch before a run: backbone 'sd21' is missing: run `make weights" in text
    assert "data/clips/davis/blackswan: no such file" in text


def test_a_run_says_so_and_does_nothing(desk: Desk, tmp_path: Path) -> None:
    shard = desk.plan("paper-tokenflow").shards[0]
    with pytest.raises(UserError, match=r"cannot run yet:\n.*BACKBONE=sd21(.*\n)+.*blackswan"):
        run_shard(desk, "paper-tokenflow", shard.id, devices="cpu", threads=1, workers=1)
    with pytest.raises(UserError, match="cannot run yet"):
        desk.targets("paper-tokenflow")
    assert not (tmp_path / "results").exists()


def test_other_experiments_are_found_beside_it(desk: Desk) -> None:
    """A job looks for its shard among all experiments, also those that cannot run."""
    wanted = Wanted(desk.folder, desk.store, devices="cpu", catalogue=project_catalogue)
    shard = desk.plan("quickstart").shards[0]
    assert wanted._holding(shard.id).targets.plan.name == "quickstart"


def test_a_promise_is_held_to_what_the_methods_need(tmp_path: Path, desk: Desk) -> None:
    text = (desk.folder / "paper-tokenflow.yaml").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("frames: 40", "frames: 41").replace("sd21", "sd22"))
    with pytest.raises(UserError) as error:
        desk.plan(str(wrong))
    assert "41 given; clip 'blackswan' has 40 frames" in str(error.value)
    assert "Did you mean 'sd21'" in str(error.value)
