"""Restore what was shared: fetch packs, check every byte, and join them to the store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from data.errors import UserError
from experiments.atomic import write_atomic
from experiments.sharing.apart import remove
from experiments.sharing.dvc import Dvc
from experiments.sharing.index import Index, packs_folder, pointer, tracked
from experiments.sharing.items import CELLS, PREPARED, TABLES, root_of
from experiments.sharing.merge import Current, Merged, merge
from experiments.sharing.packs import Pack, unpack
from experiments.store import Store


def fetch(root: Path, indexes: Sequence[Index]) -> None:
    """Put every pack in place, and every dataset and network's weights that are not here.

    Raises UserError where one cannot be had, or is not what was shared; nothing is unpacked then.
    """
    folder = packs_folder(root)
    packs = {pack.name: pack for index in indexes for pack in index.packs}
    absent = [pack for pack in packs.values() if not pack.intact(folder)]
    data = {root / path for index in indexes for path in index.data}
    wanted = [tracked(path) for path in sorted(data) if _absent(path)]
    if not absent and not wanted:
        return
    dvc = Dvc(root)
    remote = dvc.remote()
    for pack in absent:
        if not pointer(root, pack).is_file():
            raise UserError(
                f"{pointer(root, pack)} is missing, though an index names its pack: the commit "
                "lacks part of results/packs/. Whoever shared it has to commit that folder."
            )
        pack.path(folder).unlink(missing_ok=True)  # damaged; DVC would not replace it
    if absent:
        dvc.pull([pointer(root, pack) for pack in absent], remote)
    for pack in absent:
        if not pack.intact(folder):
            raise _damaged(dvc, root, pack, str(remote))
    if wanted:
        dvc.pull(wanted, remote)


def _absent(folder: Path) -> bool:
    """Whether a folder that DVC has is not in place; a dataset is once it has an index."""
    whole = folder / "index.json" if folder.parent.name == "prepared" else folder
    return tracked(folder).is_file() and not whole.exists()


def _damaged(dvc: Dvc, root: Path, pack: Pack, remote: str) -> UserError:
    """What to say of a pack with other bytes, once it is out of the way."""
    path = pack.path(packs_folder(root))
    cached = dvc.cached(pointer(root, pack))
    for bad in (path, cached):
        bad.unlink(missing_ok=True)
    return UserError(
        f"{path.relative_to(root)} is damaged: it is not the pack that was shared. Nothing of it "
        f"was taken into results/. It came from DVC's cache ({cached}), where it has been removed: "
        "run `make pull` again to fetch it anew. If it is damaged then too, the copy at remote "
        f"{remote} is: whoever shared it has to delete files/md5/{cached.parent.name}/"
        f"{cached.name} there and run `make share` again."
    )


def restore(store: Store, index: Index, current: Current) -> Merged:
    """Join an experiment's packs to the store; its table and report too, where they are of it."""
    root, merged = root_of(store), Merged()
    store.root.mkdir(parents=True, exist_ok=True)
    # Cells before their scores, and both before what is made of them.
    for pack in sorted(index.packs, key=_order):
        scratch = Path(tempfile.mkdtemp(prefix=".incoming-", dir=store.root))
        try:
            unpack(pack.path(packs_folder(root)), scratch)
            merge(Store(scratch / "results"), store, current, merged)
            if f"{TABLES}/{index.experiment}" in pack.items and merged.alike:
                _install(scratch, root)
        finally:
            remove(scratch)
    if (folder := root / index.report).is_dir() and not (folder.parent / "latest").exists():
        (folder.parent / "latest").symlink_to(folder.name)
    return merged


def _order(pack: Pack) -> tuple[int, str]:
    kinds = {name.partition("/")[0] for name in pack.items}
    return (0 if kinds & {CELLS, *PREPARED} else 2 if TABLES in kinds else 1), pack.name


def _install(scratch: Path, root: Path) -> None:
    """Put table, report and their manifests in place, the manifests last."""
    for path in sorted(_of_tables(scratch), key=lambda path: path.suffix == ".json"):
        write_atomic(root / path.relative_to(scratch), path.read_bytes())


def _of_tables(scratch: Path) -> Iterable[Path]:
    for pattern in ("results/*.parquet", "reports/**/*", "results/*/*-*.json"):
        yield from (path for path in scratch.glob(pattern) if path.is_file())
