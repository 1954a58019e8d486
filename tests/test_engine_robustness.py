"""Kills, full disks and company: what a run leaves behind can always be used."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.atomic import DiskFull, read_sealed, write_atomic, write_sealed
from experiments.collect import COUNTS, SECONDS, table, write_table
from experiments.command_line import main
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.snake import Wanted
from experiments.store import Store
from experiments.targets import targets_of
from tests.fakes import fake_catalogue, write_experiment
from tests.killed_sweeps import sweep

ROOT = Path(__file__).resolve().parent.parent
VARY = [*SECONDS, "seconds_per_frame", *(name for name in COUNTS if "evaluations" not in name)]


def table_bytes(plan: Plan, store: Store) -> bytes:
    """The results table as it is written, costs aside."""
    return write_table(table(plan, store).assign(**dict.fromkeys(VARY)), plan, store)


def leftovers(store: Store) -> list[Path]:
    """Files that are neither a result nor a lock: half-written, or kept for a run to go on."""
    return [
        path
        for path in store.root.rglob("*")
        if path.is_file() and (path.suffix in (".tmp", ".part") or path.parent.name == "partial")
    ]


def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    """At random moments, many of them in a write; then a rerun: an undisturbed run's table."""
    path = write_experiment(tmp_path)
    command = [sys.executable, "-m", "tests.killed_sweeps", str(tmp_path), "50", "0"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["kills"] == 50 and told["in_writes"] >= 15 and told["failed"] == 0, told
    plan = make_plan(path, fake_catalogue())
    good, *others = [table_bytes(plan, Store(tmp_path / name)) for name in told["runs"]]
    assert all(other == good for other in others)
    assert all(Store(tmp_path / told["runs"][-1]).valid(cell) for cell in plan.cells)


@pytest.mark.parametrize("kept", [b"", b"{}", b'{"a": 1', b"\x00" * 40])
def test_a_record_that_is_not_whole_is_no_record(kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_sealed(path, {"a": 1})
    assert read_sealed(path) == {"a": 1}
    path.write_bytes(kept)
    assert read_sealed(path) is None


def no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def in_words(*_: Any, **__: Any) -> None:
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("where", ["mkdir", "open", "replace"])
def test_a_full_disk_is_told_and_nothing_half_written_stays(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic(tmp_path / "old", b"1")
    monkeypatch.setattr(Path, where, no_space)
    with pytest.raises(DiskFull, match=r"the disk is full\. Free some space"):
        write_atomic(tmp_path / "old", b"2")
    monkeypatch.undo()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("old", b"1")]


@pytest.mark.parametrize("full", [no_space, in_words])
def test_no_room_for_an_inversion_is_no_cell_s_failure(
    full: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a full disk would stand in the table as the method's failure."""
    plan = make_plan(write_experiment(tmp_path), fake_catalogue())
    store = Store(tmp_path / "results")
    monkeypatch.setattr("tests.fake_network.FakeInversion.save", full)
    shard = next(shard for shard in plan.shards if any(c.inversion for c in shard.cells))
    with pytest.raises(DiskFull):
        ShardRunner(plan, shard, store, fake_catalogue()).run()
    assert {store.status(cell.id) for cell in shard.cells} == {None}
    monkeypatch.undo()
    sweep(plan, store, fake_catalogue())
    assert all(store.valid(cell) for cell in plan.cells)


SMALL_DISK = """
mount -t tmpfs -o size={size} none "$1" && exec "$2" -c '
import sys
from pathlib import Path
from experiments.command_line import main
from experiments.planner import make_plan
from tests.fakes import fake_catalogue
root, path = sys.argv[1:]
filler = Path(root, "filler")
filler.write_bytes(bytes({filler}))
plan = make_plan(Path(path), fake_catalogue())
def shards():
    return [main(["--results", root + "/r", "shard", path, "--id", s.id, "--devices", "cpu"],
                 fake_catalogue()) for s in plan.shards]
import experiments.shard_command
experiments.shard_command.prepare_torch = lambda *a, **k: "cpu"
print(shards(), file=sys.stderr)
left = [p.name for p in Path(root).rglob("*") if p.suffix in (".tmp", ".part")]
print("left", left, file=sys.stderr)
filler.unlink()
print(shards(), file=sys.stderr)
' "$1" "$3"
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """A small file system of its own: an error that says what to do, then a rerun that ends."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "true"], check=False).returncode:
        pytest.skip("mounting a small disk takes user namespaces (unshare -rm), not allowed here")
    disk, path = tmp_path / "disk", write_experiment(tmp_path)
    disk.mkdir()
    script = SMALL_DISK.format(size="2m", filler=1_900_000)
    run = subprocess.run(
        [unshare, "-rm", "sh", "-c", script, "sh", str(disk), sys.executable, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "the disk is full. Free some space and run the same command again" in run.stderr
    assert "Traceback" not in run.stderr
    first, left, again = [s for s in run.stderr.splitlines() if s.startswith(("[", "left"))]
    assert "2" in first and left == "left []" and set(json.loads(again)) == {0}


def test_two_runs_at_once_do_no_harm(tmp_path: Path) -> None:
    """They share the work: nothing is computed twice, and every cell is whole."""
    path, results = write_experiment(tmp_path), tmp_path / "results"
    code = (
        "import sys; from pathlib import Path; from tests.killed_sweeps import *\n"
        "plan = make_plan(Path(sys.argv[1]), fake_catalogue()); done = 0\n"
        "for shard in plan.shards:\n"
        "    tally = ShardRunner(plan, shard, Store(sys.argv[2]), fake_catalogue()).run()\n"
        "    done += tally.evaluations\n"
        "print(plan.id, done)\n"
    )
    command = [sys.executable, "-c", code, str(path), str(results)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
    said = [child.communicate(timeout=200) for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    ids, done = zip(*(out.split() for out, _ in said), strict=True)
    plan, store = make_plan(path, fake_catalogue()), Store(results)
    # Cells are known by their code: a file edited in between makes another plan, and no harm.
    assert set(ids) == {plan.id}, "the code was changed while this test ran"
    assert {str(store.status(cell)) for cell in plan.cells} == {"ok"}
    assert all(store.valid(cell) for cell in plan.cells)
    assert sum(map(int, done)) == plan.shared()
    assert leftovers(store) == []


def test_two_calls_may_drop_the_same_stale_manifest(tmp_path: Path) -> None:
    plan, store = make_plan(write_experiment(tmp_path), fake_catalogue()), Store(tmp_path / "r")
    sweep(plan, store, fake_catalogue())
    targets = targets_of(plan, store, fake_catalogue())
    for cell in plan.cells:
        store.forget(cell)
    real = Path.exists
    manifests = {str(path) for path in targets.shard_manifests() + targets.score_manifests()}

    def gone_meanwhile(self: Path, **options: Any) -> bool:
        there = real(self, **options)
        if str(self) in manifests:
            self.unlink(missing_ok=True)  # the other call was faster
        return there

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", gone_meanwhile)
        targets.drop_stale()
    assert not any(Path(path).exists() for path in manifests)


def test_altered_frames_are_neither_scored_nor_shown(tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    plan, store = make_plan(path, fake_catalogue()), Store(tmp_path / "results")
    sweep(plan, store, fake_catalogue())
    cell = next(c.id for c in plan.cells.values() if c.method.name == "blend")
    (store.cell(cell) / "scores.json").unlink()
    frames = store.cell(cell) / "frames.npz"
    frames.write_bytes(frames.read_bytes()[:-20])
    command = ["--results", str(store.root), "score", str(path)]
    assert main(command, fake_catalogue()) == 2
    assert not (store.cell(cell) / "scores.json").exists()
    row = table(plan, store).set_index("cell").loc[cell]
    assert row["status"] == "not run" and row.isna()["mean@pixels"]


def test_retry_runs_what_failed_and_nothing_else(tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    plan, store = make_plan(path, fake_catalogue()), Store(tmp_path / "results")
    sweep(plan, store, fake_catalogue())
    blends = [c for c in plan.cells.values() if c.method.name == "blend"]
    for cell in blends[:3]:
        store.write_failure(cell.id, "out of memory", "", store.run(cell.id) or {})
    before = {c.id: (store.cell(c.id) / "run.json").stat().st_mtime_ns for c in blends[3:]}
    assert main(["--results", str(store.root), "retry", str(path)], fake_catalogue()) == 0
    assert {store.status(c.id) for c in blends[:3]} == {None}
    sweep(plan, store, fake_catalogue())
    assert all(store.valid(cell) for cell in plan.cells)
    after = {c.id: (store.cell(c.id) / "run.json").stat().st_mtime_ns for c in blends[3:]}
    assert after == before


def test_a_call_may_ask_to_retry(tmp_path: Path) -> None:
    """``snakemake --config retry=true`` forgets failures before the graph is built."""
    path = write_experiment(tmp_path)
    plan, store = make_plan(path, fake_catalogue()), Store(tmp_path / "results")
    sweep(plan, store, fake_catalogue())
    failed = next(c.id for c in plan.cells.values() if c.method.name == "blend")
    store.write_failure(failed, "time limit: more than 1 s", "", store.run(failed) or {})
    for retry, status in ((False, "time limit: more than 1 s"), (True, None)):
        wanted = Wanted(tmp_path, store, retry=retry, catalogue=fake_catalogue)
        missing = [p for p in wanted.targets("toy").shard_manifests() if not p.exists()]
        assert store.status(failed) == status
        assert len(missing) == retry
