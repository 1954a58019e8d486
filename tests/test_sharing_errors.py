"""What can go wrong in sharing, and what is said of it; nothing is left half done."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import UserError
from experiments.atomic import DiskFull
from experiments.sharing import dvc as dvc_module
from experiments.sharing import packs as packs_module
from experiments.sharing.dvc import Dvc, Remote
from experiments.sharing.index import Index, packs_folder, pointer, read_index, write_index
from experiments.sharing.packs import Pack
from tests.test_engine_robustness import no_space
from tests.two_users import MORE, TOY, User, make_project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user who has run the experiment; the remote is a folder on a disk that is not there."""
    folder = tmp_path_factory.mktemp("errors")
    user = make_project(folder, str(folder / "unmounted" / "store"))
    user.run()
    return user


@pytest.fixture
def tracked(finished: User) -> Callable[[], str]:
    """What git sees of sharing, which an error must not change."""
    return lambda: finished.git("status", "--porcelain", "--", "results", "dvc.yaml")


Said = Callable[[], str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture) -> Said:
    return lambda: capsys.readouterr().err


def without_remote(user: User) -> Callable[[], None]:
    """Take the remote out of the configuration; what puts it back."""
    config = user.root / ".dvc" / "config"
    text = config.read_text()
    config.write_text(text.replace("    remote = storage\n", ""))
    return lambda: config.write_text(text) and None


def test_no_remote(finished: User, said: Said, tracked: Callable[[], str]) -> None:
    restore = without_remote(finished)
    assert finished.says("share", "toy") == 2
    restore()
    assert "no DVC remote is configured" in said()
    assert tracked() == ""


def test_a_disk_that_is_not_mounted(finished: User, said: Said, tracked: Callable) -> None:
    """DVC by itself would make the folder and share with nobody."""
    assert finished.says("share", "toy") == 2
    assert "unmounted does not exist. Is the disk mounted?" in said()
    assert tracked() == ""
    assert list((finished.root / "results" / "packs").iterdir()) == []


def test_a_host_that_does_not_answer(finished: User, said: Said, tracked: Callable) -> None:
    config = finished.root / ".dvc" / "config"
    text = config.read_text()
    config.write_text(text.partition("url = ")[0] + "url = ssh://nobody@127.0.0.1:9/store\n")
    assert finished.says("share", "toy") == 2
    config.write_text(text)
    told = said()
    assert "dvc push with remote 'storage' (ssh://nobody@127.0.0.1:9/store) failed" in told
    assert "Connect call failed" in told and "run the same command again" in told
    assert "Traceback" not in told
    assert tracked() == ""


def test_a_tree_with_changes_that_are_not_committed(finished: User, said: Said) -> None:
    (finished.root / "method.py").write_text("print('new')")
    (finished.root / "report.zip").write_text("of snakemake --report")
    (finished.root / "dvc_plots").mkdir()
    (finished.root / "dvc_plots" / "index.html").write_text("of dvc plots diff")
    assert finished.says("share", "toy") == 2
    (finished.root / "method.py").unlink()
    assert "the tree is dirty (method.py)" in said()


def test_an_experiment_that_is_not_or_partly_run(finished: User, said: Said) -> None:
    finished.edit(MORE)
    assert finished.says("share", "toy") == 2
    assert "2 of the 7 cells of 'toy' have not been run" in said()
    finished.edit(MORE.replace("[disc]", "[ring]"))
    assert finished.says("share", "toy") == 2
    assert "'toy' has not been run: `snakemake -j N toy` first" in said()
    finished.edit(TOY)
    assert finished.nothing_to_do()


def test_an_experiment_with_failed_cells(finished: User, said: Said) -> None:
    finished.edit(TOY.replace("n_timesteps: 6", "n_timesteps: 6, trouble: crash"))
    with pytest.raises(AssertionError):
        finished.run()  # ends in an error
    said()
    assert finished.says("share", "toy") == 2
    told = said()
    assert "4 cells of 'toy' failed" in told and "allow_failures: true" in told
    finished.edit(TOY)
    finished.run()


def test_a_report_of_a_tree_that_nobody_has(finished: User, said: Said) -> None:
    record = finished.report / "provenance.json"
    text = record.read_text()
    record.write_text(json.dumps(json.loads(text) | {"code": {"commit": "1", "dirty": True}}))
    assert finished.says("share", "toy") == 2
    assert "rendered from a tree with uncommitted changes" in said()
    assert not finished.nothing_to_do()  # so that it is rendered again
    record.write_text(text)
    finished.run()


@pytest.mark.parametrize("folder", ["../elsewhere", "results/cells", "models/weights/../x", "/x"])
def test_an_index_that_names_a_folder_of_its_own_choice(folder: str, tmp_path: Path) -> None:
    write_index(tmp_path, Index("toy", "0" * 40, "reports/toy/v", (folder,), ()))
    with pytest.raises(UserError, match="altered"):
        read_index(tmp_path, "toy")


def test_a_folder_outside_git_and_dvc(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not under DVC"):
        Dvc(tmp_path)


def test_nothing_shared_and_no_such_experiment(finished: User, said: Said) -> None:
    assert finished.says("pull") == 2
    assert "nothing is shared in this checkout" in said()
    index = Index("toy", "0" * 40, "reports/toy/v", (), (Pack("0" * 32, 1, {}),))
    write_index(finished.root, index)
    path = finished.root / "results" / "shared" / "toy" / "index.json"
    assert finished.says("pull", "tyo") == 2
    assert "Did you mean 'toy'?" in said()
    assert finished.says("pull") == 2
    assert "is missing, though an index names its pack" in said()
    pointer(finished.root, index.packs[0]).write_text("outs: []")
    assert finished.says("pull") == 2
    assert "no such folder. Is the disk mounted?" in said()
    restore = without_remote(finished)
    assert finished.says("pull") == 2
    restore()
    assert "no DVC remote is configured" in said()
    path.write_text(path.read_text().replace("reports/toy/v", "reports/toy/w"))
    assert finished.says("pull") == 2
    assert "altered, truncated or merged by hand" in said()
    path.unlink()


def test_a_full_disk_ends_a_pull_with_nothing_half_written(
    finished: User, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.sharing.items import items_of
    from experiments.sharing.packs import write_pack

    pack = write_pack(finished.root, items_of(finished.targets), packs_folder(finished.root))
    write_index(finished.root, Index("toy", "0" * 40, "reports/toy/v", (), (pack,)))
    before = finished.files("results", "reports")
    monkeypatch.setattr(packs_module.Path, "write_bytes", no_space)
    assert finished.says("pull") == 2
    monkeypatch.undo()
    assert "the disk is full. Free some space and run the same command again" in said()
    assert finished.files("results", "reports") == before


SMALL_DISK = 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"'


def test_a_remote_s_disk_that_is_really_full(finished: User, tmp_path: Path, said: Said) -> None:
    """DVC says so in its way; the person reads whose disk it is and what to do."""
    import sys

    command = ["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh", str(tmp_path)]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here (needs root)")
    packs = finished.root / "results" / "packs"
    packs.mkdir(exist_ok=True)
    (packs / "large.tar").write_bytes(os.urandom(200_000))
    code = (
        "import sys; from pathlib import Path; from experiments.sharing.dvc import Dvc, Remote;"
        "root, store = map(Path, sys.argv[1:]); dvc = Dvc(root);"
        "pack = root / 'results/packs/large.tar'; dvc.add([pack]);"
        "dvc.push([pack.with_name('large.tar.dvc')], Remote('storage', str(store), store))"
    )
    config = finished.root / ".dvc" / "config"
    text = config.read_text()
    config.write_text(text.partition("url = ")[0] + f"url = {tmp_path}\n")
    run = subprocess.run(
        [*command, sys.executable, "-c", code, str(finished.root), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=dvc_module.__file__.partition("experiments")[0],
    )
    config.write_text(text)
    for path in packs.glob("large*"):
        path.unlink()
    assert f"{DiskFull.__name__}: dvc push: the disk of remote 'storage'" in run.stderr
    assert Remote("storage", str(tmp_path), tmp_path).name in run.stderr
