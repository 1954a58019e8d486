"""Share a finished experiment: pack it, push the packs, and write what git has to know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from experiments.checkout import Checkout, read_checkout
from experiments.sharing.board import write_board
from experiments.sharing.choose import choose
from experiments.sharing.dvc import Dvc
from experiments.sharing.index import (
    Index,
    packs_folder,
    pointer,
    read_index,
    shared_names,
    tracked,
    write_index,
)
from experiments.sharing.items import items_of, report_page, root_of, stored_item
from experiments.sharing.packs import SUFFIX, write_pack
from experiments.store import OK
from experiments.targets import Targets

MOST = 5  # changed files that are named


@dataclass(frozen=True)
class Shared:
    """What sharing did."""

    index: Index
    new: int  # packs that were made
    remote: str


def share(targets: Targets) -> Shared:
    """Pack, push, and write index, metrics and plots; UserError where that cannot be.

    Git is told last: whatever interrupts this, the tracked files are those of the last share, and
    repeating it sends only what the remote lacks.
    """
    root = root_of(targets.store)
    dvc = Dvc(root)
    remote = dvc.remote()
    checkout = _clean_checkout(root)
    _require_finished(targets)
    page = report_page(targets)
    assert page is not None
    known = [index for name in shared_names(root) if (index := read_index(root, name))]
    packs = {pack.name: pack for index in known for pack in index.packs}
    kept, fresh = choose(items_of(targets), packs.values(), lambda n: _digest(targets, n))
    folder = packs_folder(root)
    made = [write_pack(root, items, folder) for items in fresh]
    for pack in kept:
        if not pack.path(folder).is_file():  # it may have been pulled in no more than name
            _make_again(targets, pack.items, folder)
    every = tuple(sorted([*kept, *made], key=lambda pack: pack.name))
    data = _data(targets, root)
    try:
        dvc.add([*(pack.path(folder) for pack in every), *data])
        pushed = [pointer(root, pack) for pack in every]
        dvc.push([*pushed, *map(tracked, data)], remote)
    except UserError:
        _sweep(root)
        raise
    index = Index(
        experiment=targets.plan.name,
        commit=checkout.commit,
        report=page.parent.relative_to(root).as_posix(),
        data=tuple(path.relative_to(root).as_posix() for path in data),
        packs=every,
    )
    write_board(root, index, targets.plan.experiment.title)
    write_index(root, index)
    _sweep(root)
    return Shared(index, len(made), str(remote))


def _data(targets: Targets, root: Path) -> list[Path]:
    """Folders that cells are named by and git is too small for: datasets, and networks' weights."""
    prepared = [root / "data" / "prepared" / name for name in targets.datasets]
    networks = {cell.backbone.name for cell in targets.plan.cells.values() if cell.backbone}
    # Of ``step1x+fp8`` the weights are those of ``step1x``.
    weights = [root / "models" / "weights" / name.partition("+")[0] for name in sorted(networks)]
    return [path for path in prepared if (path / "index.json").is_file()] + [
        path for path in dict.fromkeys(weights) if path.is_dir()
    ]


def _clean_checkout(root: Path) -> Checkout:
    """The checkout that readers will have. UserError where git does not know the code."""
    found = read_checkout(root)
    if found is None:
        raise UserError(f"{root} is not the top of a git checkout; packs alone mean nothing.")
    if found.dirty:
        changed = ", ".join(found.changed[:MOST]) or "no commit yet"
        more = f" and {len(found.changed) - MOST} more" if len(found.changed) > MOST else ""
        raise UserError(
            f"the tree is dirty ({changed}{more}): readers could not have the code and experiments "
            "that these results are of. Commit them first, or put them away (`git stash -u`)."
        )
    return found


def _require_finished(targets: Targets) -> None:
    """Raise UserError unless there is nothing left to run."""
    plan, store = targets.plan, targets.store
    targets.drop_stale()
    run = f"`snakemake -j N {plan.name}`"
    left = sum(not store.settled(cell) for cell in plan.cells)
    if left == len(plan.cells):
        raise UserError(f"'{plan.name}' has not been run: {run} first.")
    if left:
        raise UserError(
            f"{left} of the {len(plan.cells)} cells of '{plan.name}' have not been run, or were "
            f"made by other code: {run} first."
        )
    if not all(path.exists() for path in (targets.rendered(), targets.collected())):
        raise UserError(f"'{plan.name}' has all its cells, but not their report: {run} first.")
    if not targets.verdict().exists():
        failed = sum(store.status(cell) != OK for cell in plan.cells)
        raise UserError(
            f"{failed} cells of '{plan.name}' failed. Run them again (`snakemake -j N --config "
            f"retry=true -- {plan.name}`), or say `allow_failures: true` in its file."
        )
    page = report_page(targets)
    if page is None or not (page.parent / "provenance.json").is_file():
        raise UserError(f"the report of '{plan.name}' is incomplete: {run} first.")
    told = json.loads((page.parent / "provenance.json").read_text(encoding="utf-8"))
    if told["code"]["dirty"]:
        targets.rendered().unlink()
        raise UserError(
            f"{page.parent} was rendered from a tree with uncommitted changes, which nobody can "
            f"have. The tree is clean now: {run} renders it again, and no cell is run."
        )


def _digest(targets: Targets, name: str) -> str | None:
    item = stored_item(targets.store, name)
    return item.digest if item else None


def _make_again(targets: Targets, names: dict[str, str], folder: Path) -> None:
    items = [item for name in names if (item := stored_item(targets.store, name))]
    write_pack(root_of(targets.store), items, folder)


def _sweep(root: Path) -> None:
    """Remove packs and pointers that no index names."""
    known = [index for name in shared_names(root) if (index := read_index(root, name))]
    named = {f"{pack.name}{SUFFIX}" for index in known for pack in index.packs}
    for path in packs_folder(root).glob(f"*{SUFFIX}*"):
        if path.name.removesuffix(".dvc") not in named:
            path.unlink()
