"""What git knows of a shared experiment: which packs hold which cells.

``results/shared/<experiment>/index.json`` lists them; a pack lies in ``results/packs/`` beside the
pointer by which DVC finds it. Experiments that have cells in common share the packs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from data.errors import UserError, unknown
from experiments.atomic import read_sealed, write_sealed
from experiments.sharing.items import CELLS
from experiments.sharing.packs import SUFFIX, Pack

# Every folder that a pull may fetch beside the packs, whatever an index says.
_DATA = re.compile(r"(data/prepared|models/weights)/[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Index:
    """One shared experiment."""

    experiment: str
    commit: str  # the code that the results are of
    report: str  # the report's folder, under the root
    data: tuple[str, ...]  # folders under the root that were pushed too: datasets and weights
    packs: tuple[Pack, ...]

    @property
    def cells(self) -> set[str]:
        """Ids of the cells in its packs."""
        names = (name for pack in self.packs for name in pack.items)
        return {name.partition("/")[2] for name in names if name.startswith(f"{CELLS}/")}


def packs_folder(root: Path) -> Path:
    """Where packs lie."""
    return root / "results" / "packs"


def shared_folder(root: Path, experiment: str) -> Path:
    """What git keeps of one shared experiment."""
    return root / "results" / "shared" / experiment


def pointer(root: Path, pack: Pack) -> Path:
    """DVC's pointer to a pack."""
    return packs_folder(root) / f"{pack.name}{SUFFIX}.dvc"


def tracked(folder: Path) -> Path:
    """DVC's pointer to a folder."""
    return folder.with_name(f"{folder.name}.dvc")


def write_index(root: Path, index: Index) -> None:
    """Write the index, the last step of sharing."""
    record = asdict(index)
    record["packs"] = {p.name: {"size": p.size, "items": p.items} for p in index.packs}
    write_sealed(shared_folder(root, index.experiment) / "index.json", record)


def read_index(root: Path, experiment: str) -> Index | None:
    """A shared experiment, or None; UserError where its index was altered."""
    path = shared_folder(root, experiment) / "index.json"
    if not path.is_file():
        return None
    record = read_sealed(path)
    known = record is not None and record.get("experiment") == experiment
    if not known or not all(map(_DATA.fullmatch, record["data"])):
        raise UserError(
            f"{path}: altered, truncated or merged by hand. Take one side's file (`git checkout "
            f"--ours {path.name}`, or --theirs), run `make pull`, and share again."
        )
    packs = tuple(Pack(name, p["size"], p["items"]) for name, p in record["packs"].items())
    return Index(experiment, record["commit"], record["report"], tuple(record["data"]), packs)


def shared_names(root: Path) -> list[str]:
    """Every shared experiment."""
    return sorted(path.parent.name for path in shared_folder(root, "").glob("*/index.json"))


def read_indexes(root: Path, names: Iterable[str] = ()) -> list[Index]:
    """Shared experiments by name, or all. UserError for one that is not shared, or none at all."""
    known = shared_names(root)
    if not known:
        raise UserError(
            f"nothing is shared in this checkout ({shared_folder(root, '')} is empty). `git pull` "
            "if somebody has shared meanwhile; `make share EXPERIMENT=<name>` shares."
        )
    for name in names:
        if name not in known:
            raise unknown("shared experiment", name, known)
    return [index for name in names or known if (index := read_index(root, name))]
