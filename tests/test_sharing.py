"""Two users, two clones, one remote: what one has run, the other need not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from experiments.sharing.index import read_index
from tests.two_users import MORE, TOY, User, join, make_project


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place where the first user has run and shared the experiment."""
    folder = tmp_path_factory.mktemp("sharing")
    (folder / "store").mkdir()
    first = make_project(folder, str(folder / "store"))
    assert first.run() > 0
    assert first.says("share", "toy") == 0
    first.commit("Share toy")
    return folder


@pytest.fixture
def first(place: Path) -> User:
    return User(place / "first")


@pytest.fixture
def second(place: Path, tmp_path: Path) -> User:
    """Another user, who has just cloned."""
    return join(place, str(tmp_path / "second"))


def packs(user: User) -> set[str]:
    return {pack.name for pack in read_index(user.root, "toy").packs}


def test_a_pull_restores_every_byte_and_leaves_nothing_to_do(first: User, second: User) -> None:
    assert not second.nothing_to_do()
    assert second.says("pull") == 0
    assert second.nothing_to_do()
    assert second.files("results", "reports") == first.files("results", "reports")
    assert (second.report.parent / "latest").resolve() == second.report
    assert second.says("pull", "toy") == 0  # and again
    assert second.git("status", "--porcelain") == ""


def test_the_table_is_made_again_byte_for_byte(first: User, second: User) -> None:
    second.says("pull")
    (second.store.root / "toy.parquet").unlink()
    assert second.says("collect", "toy") == 0
    table = "results/toy.parquet"
    assert (second.root / table).read_bytes() == (first.root / table).read_bytes()


def test_one_more_setting_runs_its_own_cells_and_adds_packs(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    one = make_project(tmp_path, str(tmp_path / "store"))
    one.run()
    one.says("share", "toy")
    one.commit("Share toy")
    old, before = set(one.plan.cells), packs(one)

    two = join(tmp_path, "second")
    two.says("pull")
    two.edit(MORE)
    new = set(two.plan.cells) - old
    kept = {c: (two.store.cell(c) / "run.json").stat().st_mtime_ns for c in old}
    two.run()
    assert len(new) == 2 and all(two.store.valid(cell) for cell in new)
    assert kept == {c: (two.store.cell(c) / "run.json").stat().st_mtime_ns for c in old}
    inversions = {path.name for path in (one.store.root / "inversions").iterdir()}
    assert inversions == {path.name for path in (two.store.root / "inversions").iterdir()}

    assert two.says("share", "toy") == 0
    two.commit("Share toy with one more setting")
    # Frames and scores stay in their packs; table and report are others.
    assert len(packs(two) & before) == 2 and len(packs(two) - before) == 3

    one.git("pull", "--quiet")
    assert one.says("pull") == 0
    assert one.nothing_to_do()
    assert one.files("results/cells") == two.files("results/cells")


def test_weights_and_datasets_too_large_for_git_travel_too(tmp_path: Path) -> None:
    """Without a network's weights nobody knows what its cells are named."""
    (tmp_path / "store").mkdir()
    one = make_project(tmp_path, str(tmp_path / "store"))
    weights, data = one.root / "models/weights/toy/net.bin", one.root / "data/prepared/toys"
    for path, content in ((weights, "heavy"), (data / "index.json", "{}"), (data / "a.npz", "x")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (one.root / "models/weights/other").mkdir()  # of no shared experiment
    one.run()
    assert one.says("share", "toy") == 0
    one.commit("Share toy")
    tracked = one.git("ls-files").split()
    assert "models/weights/toy.dvc" in tracked and "data/prepared/toys.dvc" in tracked
    assert not any(name.endswith((".bin", ".npz")) or "other" in name for name in tracked)

    two = join(tmp_path, "second")
    assert two.says("pull") == 0
    assert two.files("models", "data") == one.files("models", "data")
    assert two.git("status", "--porcelain") == ""
    assert two.says("share", "toy") == 0  # the tree is as clean as its owner's


def remote_object(place: Path, user: User, kind: str) -> tuple[Path, Path]:
    """A pack's copies at the remote and in a user's cache."""
    packs = read_index(user.root, "toy").packs
    name = next(p.name for p in packs if any(item.startswith(kind) for item in p.items))
    pointer = yaml.safe_load((user.root / f"results/packs/{name}.tar.dvc").read_text())
    md5 = pointer["outs"][0]["md5"]
    below = Path("files", "md5", md5[:2], md5[2:])
    return place / "store" / below, user.root / ".dvc" / "cache" / below


def spoil(path: Path) -> bytes:
    """Change one byte of a file, be it read-only; what it was."""
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    path.chmod(0o444)
    return content


def test_a_damaged_copy_at_the_remote_is_noticed_and_nothing_is_taken(
    place: Path, second: User, capsys: pytest.CaptureFixture
) -> None:
    there, here = remote_object(place, second, "cells/")
    good = spoil(there)
    assert second.says("pull") == 2
    said = capsys.readouterr().err
    assert "is damaged" in said and "'storage'" in said and there.name in said
    assert not second.store.root.joinpath("cells").exists()
    assert not here.exists()
    there.chmod(0o644)
    there.write_bytes(good)
    assert second.says("pull") == 0
    assert second.nothing_to_do()


def test_a_damaged_cache_is_noticed_and_fetched_anew(
    place: Path, second: User, capsys: pytest.CaptureFixture
) -> None:
    second.says("pull")
    shutil.rmtree(second.root / "results" / "cells")
    for path in (second.root / "results" / "packs").glob("*.tar"):
        path.unlink()
    spoil(remote_object(place, second, "cells/")[1])
    assert second.says("pull") == 2
    assert "DVC's cache" in capsys.readouterr().err
    assert not second.store.root.joinpath("cells").exists()
    assert second.says("pull") == 0
    assert second.nothing_to_do()


def test_a_damaged_pack_in_place_is_replaced(second: User) -> None:
    second.says("pull")
    pack = next((second.root / "results" / "packs").glob("*.tar"))
    pack.unlink()
    pack.write_bytes(b"half of it")
    assert second.says("pull") == 0
    assert second.nothing_to_do()


def test_results_of_one_s_own_stay(second: User, capsys: pytest.CaptureFixture) -> None:
    """The same frames with other costs are no conflict; the table is made of what is here."""
    second.run()
    mine = second.files("results/cells", "results/inversions")
    table = pd.read_parquet(second.store.root / "toy.parquet")
    assert second.says("pull") == 0
    assert "nothing added, 5 cells were here already" in capsys.readouterr().out
    assert second.files("results/cells", "results/inversions") == mine
    pd.testing.assert_frame_equal(pd.read_parquet(second.store.root / "toy.parquet"), table)
    assert second.nothing_to_do()


def test_metrics_and_plots_are_compared_between_two_tags(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    user = make_project(tmp_path, str(tmp_path / "store"))
    for tag, text in (("v1", TOY), ("v2", MORE.replace("n_timesteps: 6", "n_timesteps: 5"))):
        if tag == "v2":
            user.edit(text)
        user.run()
        assert user.says("share", "toy") == 0
        user.commit(f"Share {tag}")
        user.git("tag", tag)
    found = json.loads(user.dvc("metrics", "diff", "v1", "v2", "--json"))
    rows = found["results/shared/toy/metrics.json"]
    changed = rows["blend[guidance=1].mean@pixels"]
    assert changed["diff"] == pytest.approx(changed["new"] - changed["old"]) and changed["diff"]
    assert rows["blend[guidance=2].mean@pixels"]["old"] is None
    params = json.loads(user.dvc("params", "diff", "v1", "v2", "--json"))
    assert "experiments/toy.yaml" in params
    plots = json.loads(user.dvc("plots", "diff", "v1", "v2", "--json", "--split"))
    assert "errors" not in plots
    for recipe, without in (("mean@pixels", 0), ("gain@pixels", 2)):  # a row of each tag
        drawn = plots["data"][f"toy {recipe}"]
        points = [p for plot in drawn for p in plot["anchor_definitions"]["<DVC_METRIC_DATA>"]]
        assert {point["rev"] for point in points} == {"v1", "v2"}
        assert len(points) == 3 + 4
        assert sum(point[recipe] is None for point in points) == without
    held = yaml.safe_load((user.root / "dvc.yaml").read_text())
    assert held.keys() == {"metrics", "params", "plots", "artifacts"}
