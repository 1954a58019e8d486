"""The union of two stores by id. What is here is never overwritten by something else.

The same id with other bytes (another machine may round differently) is a conflict: it is told and
kept apart in ``results/conflicts/``. Costs are of the machine that measured them, so the same
frames with other costs are no conflict; what is here stays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.atomic import read_sealed, write_atomic
from experiments.inversions import intact_inversion
from experiments.sharing.apart import cell_difference, keep_apart, same_outcome
from experiments.sharing.items import PREPARED
from experiments.store import Store

Current = Callable[[dict[str, Any], str, str], str | None]  # run record, edit, recipe -> mark
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass
class Merged:
    """What a merge did."""

    added: Counter[str] = field(default_factory=Counter)  # by kind
    present: Counter[str] = field(default_factory=Counter)
    conflicts: list[str] = field(default_factory=list)  # in words
    damaged: list[str] = field(default_factory=list)  # left out
    own: int = 0  # cells that are here with other costs, or scores from elsewhere

    @property
    def alike(self) -> bool:
        """Whether all that was merged is here now just as it was there."""
        return not (self.conflicts or self.damaged or self.own)

    def lines(self) -> list[str]:
        """For people, conflicts last."""
        kinds = [kind for kind in ("cells", *PREPARED, "scores") if self.added[kind]]
        told = [", ".join(f"{self.added[k]} {k}" for k in kinds) or "nothing"]
        told[0] += f" added, {self.present['cells']} cells were here already"
        told += [f"left out, damaged where it came from: {name}" for name in self.damaged]
        return told + [f"conflict: {text}" for text in self.conflicts]


def merge(there: Store, here: Store, current: Current, into: Merged | None = None) -> Merged:
    """Add what another store has: inversions and tunings, cells, scores, manifests of their work.

    ``current`` gives the mark that a score must carry to be of this checkout's metric.
    """
    merged = into or Merged()
    for kind in PREPARED:
        for name in _ids(there.root / kind, "*.json"):
            _prepared(kind, there, here, name, merged)
    for cell_id in _ids(there.root / "cells", "*/run.json"):
        _cell(there, here, cell_id, merged)
    for cell_id in _ids(there.root / "cells", "*/scores.json"):
        _scores(there, here, cell_id, current, merged)
    for kind in ("shards", "scored"):
        for name in _ids(there.root / kind, "*.json"):
            source, target = (store.root / kind / f"{name}.json" for store in (there, here))
            if read_sealed(source) and not read_sealed(target):
                write_atomic(target, source.read_bytes())
    return merged


def _ids(folder: Path, pattern: str) -> Iterator[str]:
    """Ids of files ``<id>.json`` or ``<id>/….json``, in order."""
    for path in sorted(folder.glob(pattern)):
        name = path.parent.name if "/" in pattern else path.stem
        if _ID.fullmatch(name):
            yield name


def _prepared(kind: str, there: Store, here: Store, name: str, merged: Merged) -> None:
    """Latents or weights that cells start from."""
    source, target = (store.root / kind / f"{name}.safetensors" for store in (there, here))
    other = intact_inversion(source)
    if other is None:
        merged.damaged.append(f"{kind}/{name}")
        return
    with here.lock(f"{kind.removesuffix('s')}-{name}"):
        mine = intact_inversion(target)
        if mine is None:
            write_atomic(target, source.read_bytes())
            write_atomic(target.with_suffix(".json"), source.with_suffix(".json").read_bytes())
            merged.added[kind] += 1
        elif mine["file_sha256"] == other["file_sha256"]:
            merged.present[kind] += 1
        else:
            kept = keep_apart(here, kind, name, [source, source.with_suffix(".json")])
            merged.conflicts.append(f"{kind}/{name}: other bytes. Kept: {kept}")


def _cell(there: Store, here: Store, cell_id: str, merged: Merged) -> None:
    source = there.cell(cell_id)
    other = there.run(cell_id)
    if other is None or not there.settled(cell_id):
        merged.damaged.append(f"cells/{cell_id}")
        return
    with here.lock(f"cell-{cell_id[:2]}"):
        if not here.settled(cell_id):
            # The record comes last: with it the cell exists.
            for path in (source / "frames.npz", source / "run.json"):
                if path.is_file():
                    write_atomic(here.cell(cell_id) / path.name, path.read_bytes())
            merged.added["cells"] += 1
        elif same_outcome(here, there, cell_id):
            merged.present["cells"] += 1
            merged.own += here.run(cell_id) != other
        else:
            kept = keep_apart(here, "cells", cell_id, sorted(source.iterdir()))
            told = cell_difference(here, there, cell_id)
            merged.conflicts.append(f"cell {cell_id} ({_names(other)}): {told}. Kept: {kept}")


def _scores(there: Store, here: Store, cell_id: str, current: Current, merged: Merged) -> None:
    """Take scores that are missing here, or are of a metric's code that is no more."""
    source = there.cell(cell_id) / "scores.json"
    other, run = read_sealed(source), here.run(cell_id)
    if other is None:
        merged.damaged.append(f"scores/{cell_id}")
    # Scores of other frames say nothing of those that are here.
    if other is None or run is None or other["frames_sha256"] != run.get("frames_sha256"):
        return
    mine = here.scores(cell_id)
    taken: dict[str, dict[str, Any]] = {}
    clash = []
    pairs = ((edit, *pair) for edit, recipes in other["scores"].items() for pair in recipes.items())
    for edit, recipe, score in pairs:
        known = mine.get(edit, {}).get(recipe)
        same = known is not None and known["mark"] == score["mark"]
        if known == score:
            continue
        if known is None or (same and _says_nothing(known)):
            taken.setdefault(edit, {})[recipe] = score
        elif same:
            if not _says_nothing(score):
                clash.append(f"{recipe} is {known['value']} here and {score['value']} there")
        elif score["mark"] == current(run, edit, recipe):
            taken.setdefault(edit, {})[recipe] = score
        else:
            merged.own += 1
    if taken:
        here.write_scores(cell_id, taken)
        merged.added["scores"] += 1
    if clash:
        kept = keep_apart(here, "scores", cell_id, [source])
        told = "; ".join(clash)
        merged.conflicts.append(f"scores of {cell_id} ({_names(run)}): {told}. Kept: {kept}")


def _says_nothing(score: dict[str, Any]) -> bool:
    """Whether a score is a reason alone: no number, and no share of a set's."""
    return score["value"] is None and not score.get("share")


def _names(run: dict[str, Any]) -> str:
    names = run.get("names", {})
    told = [names.get("method"), names.get("clip"), names.get("edit")]
    return " ".join(str(name) for name in told if name)
