"""What an experiment is made of in the store, in items that are shared whole or not at all.

An item's name says what it is: ``inversions/<id>``, ``tunings/<id>``, ``cells/<id>`` (frames and
run record),
``scores/<cell>``, ``work/<experiment>`` (manifests of shards and scoring) and
``tables/<experiment>`` (table, report, verdict and their manifests).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.digest import sha256_file
from experiments.atomic import read_sealed
from experiments.store import Store
from experiments.targets import Targets

CELLS, SCORES, WORK, TABLES = "cells", "scores", "work", "tables"
PREPARED = ("inversions", "tunings")  # what cells start from: latents or weights, and their record
_SCORES = "scores.json"
_ID = r"[0-9a-f]{16}"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
# Every path that may come out of a pack: nothing else is written, whatever a pack holds.
_PATHS = re.compile(
    rf"results/(cells/{_ID}/(frames\.npz|run\.json|scores\.json)"
    rf"|({'|'.join(PREPARED)})/{_ID}\.(safetensors|json)|(shards|scored)/{_ID}\.json"
    rf"|(collected|rendered|verdicts)/{_NAME}-{_ID}\.json|{_NAME}\.parquet)"
    rf"|reports/{_NAME}(/\w[\w.-]*)+"
)


@dataclass(frozen=True)
class Item:
    """Files that belong together, by their paths under the project's root."""

    name: str
    files: tuple[str, ...]  # sorted, with forward slashes
    digest: str  # of paths and contents
    size: int  # bytes


def allowed(path: str) -> bool:
    """Whether a path may stand in a pack."""
    return bool(_PATHS.fullmatch(path))


def root_of(store: Store) -> Path:
    """The project's folder: ``results/`` lies in it."""
    return store.root.resolve().parent


def make_item(root: Path, name: str, files: Iterable[Path]) -> Item:
    """An item of files under a root. Raises FileNotFoundError where one is missing."""
    paths = sorted(path.relative_to(root).as_posix() for path in files)
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path}\0{sha256_file(root / path)}\n".encode())
    size = sum((root / path).stat().st_size for path in paths)
    return Item(name, tuple(paths), total.hexdigest()[:32], size)


def stored_item(store: Store, name: str) -> Item | None:
    """What cells start from, a cell or a cell's scores as the store has it; None if it has not."""
    kind, _, own = name.partition("/")
    root = root_of(store)
    cell = root / "results" / "cells" / own
    if kind in PREPARED:
        path = root / "results" / kind / f"{own}.safetensors"
        files = [path, path.with_suffix(".json")]
    elif kind == CELLS:
        # A cell that failed has no frames.
        frames = cell / "frames.npz"
        files = [cell / "run.json", *([frames] if frames.exists() else [])]
    elif kind == SCORES:
        files = [cell / _SCORES]
    else:
        return None
    return make_item(root, name, files) if all(path.is_file() for path in files) else None


def items_of(targets: Targets) -> list[Item]:
    """Everything of a finished experiment."""
    plan, store = targets.plan, targets.store
    cells = plan.cells.values()
    names = [f"tunings/{name}" for name in plan.tunings(cells)]
    names += [f"inversions/{name}" for name in plan.inversions(cells)]
    names += [f"{kind}/{cell}" for cell in plan.cells for kind in (CELLS, SCORES)]
    found = [item for name in names if (item := stored_item(store, name))]
    root = root_of(store)
    manifests = [*targets.shard_manifests(), *targets.score_manifests()]
    shown = [targets.collected(), targets.rendered(), targets.verdict()]
    shown += [store.root / f"{plan.name}.parquet", *report_files(targets)]
    return [
        *found,
        make_item(root, f"{WORK}/{plan.name}", (path.resolve() for path in manifests)),
        make_item(root, f"{TABLES}/{plan.name}", (path.resolve() for path in shown)),
    ]


def report_page(targets: Targets) -> Path | None:
    """The page of the report that was rendered last, or None."""
    record = read_sealed(targets.rendered())
    return root_of(targets.store) / record["report"] if record else None


def report_files(targets: Targets) -> list[Path]:
    """Every file of the report."""
    page = report_page(targets)
    return sorted(path for path in page.parent.rglob("*") if path.is_file()) if page else []
