"""``python -m experiments share | pull | merge``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError
from experiments.commands import Desk
from experiments.sharing.index import read_indexes, shared_folder
from experiments.sharing.items import report_page, root_of
from experiments.sharing.marks import current_marks
from experiments.sharing.merge import Merged, merge
from experiments.sharing.pull import fetch, restore
from experiments.sharing.share import share as share_finished
from experiments.shown import show
from experiments.store import Store


def share(desk: Desk, name: str) -> int:
    """Pack and push an experiment, and say what to commit."""
    targets = desk.targets(name)
    done = share_finished(targets)
    index, root = done.index, root_of(desk.store)
    size = sum(pack.size for pack in index.packs) / 1e6
    print(
        f"{index.experiment}: {len(index.cells)} cells in {len(index.packs)} packs ({size:.1f} MB, "
        f"{done.new} of them new) are at remote {done.remote}"
    )
    shared = shared_folder(root, index.experiment).relative_to(root)
    told = ["dvc.yaml", "results/packs", shared, Path(index.report).parent]
    told += sorted({str(Path(path).parent) for path in index.data})
    names = " ".join(map(str, told))
    print(f"now tell the others:\n  git add {names}\n  git commit -m 'Share {name}' && git push")
    return 0


def pull(desk: Desk, names: Sequence[str]) -> int:
    """Restore shared experiments, all by default; 1 where something conflicts."""
    root = root_of(desk.store)
    indexes = read_indexes(root, names)
    fetch(root, indexes)
    current = current_marks(desk.catalogue)
    status = 0
    for index in indexes:
        merged = restore(desk.store, index, current)
        status |= _tell(index.experiment, merged)
        print(f"{index.experiment}: {_to_do(desk, index.experiment)}")
    return status


def merge_folder(desk: Desk, folder: Path) -> int:
    """Join another results folder to this one; 1 where something conflicts."""
    if not (folder / "cells").is_dir():
        raise UserError(
            f"{folder}: no results folder (it has no cells/). Give the folder that "
            "another machine wrote, such as /mnt/other/crossframe/results."
        )
    if folder.resolve() == desk.store.root.resolve():
        raise UserError(f"{folder} is the folder that it would be merged into.")
    return _tell(str(folder), merge(Store(folder), desk.store, current_marks(desk.catalogue)))


def _tell(name: str, merged: Merged) -> int:
    first, *rest = merged.lines()
    print(f"{name}: {first}")
    for line in rest:
        print(f"{name}: {line}", file=sys.stderr)
    if merged.conflicts:
        print(
            f"{name}: {len(merged.conflicts)} conflicts; what was here stays. To take the other "
            "one, remove the cell's folder from results/cells/ and run the same command again.",
            file=sys.stderr,
        )
    return int(bool(merged.conflicts or merged.damaged))


def _to_do(desk: Desk, name: str) -> str:
    """What a run of the experiment would still do with this checkout's code."""
    try:
        targets = desk.laid_out(name)
    except UserError as error:
        return f"restored, but its file does not fit this checkout: {error}"
    targets.drop_stale()
    cells = targets.plan.cells
    left = sum(not desk.store.settled(cell) for cell in cells)
    if left:
        return f"{left} of {len(cells)} cells that this checkout asks for are not shared"
    page = report_page(targets)
    if page is None or not targets.verdict().exists():
        return f"all {len(cells)} cells are here; `snakemake -j N {name}` makes table and report"
    show(page, targets.rendered())
    return f"all {len(cells)} cells, their table and report are here; nothing is to be done"
