"""From requests to unique cells, and from cells to shards. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from data.errors import UserError
from experiments.atomic import digest
from experiments.catalogue import Catalogue
from experiments.cells import Cell, Request, inversion_id
from experiments.code_digest import PROJECT, code_digest
from experiments.packing import Shard, shards_of
from experiments.schema import Experiment
from experiments.trie import alone
from experiments.tunings import tuning_id, tuning_of
from experiments.validate import Checked, check
from methods.base import Method
from methods.tuning import TunedMethod


@dataclass(frozen=True, eq=False)
class Plan:
    """An experiment ready to run."""

    checked: Checked
    rows: list[tuple[Request, Cell]]  # every request and the cell it comes down to
    cells: dict[str, Cell]
    shards: list[Shard]
    inversion_code: str
    tuning_codes: Mapping[str, str]  # of the methods with tuned weights

    def require_present(self) -> None:
        """Raise UserError if weights or clips are missing: the plan stands on promises then."""
        if self.checked.missing:
            lines = "\n".join(f"  {reason}" for reason in self.checked.missing)
            raise UserError(f"{self.name} is planned, but cannot run yet:\n{lines}")

    @property
    def name(self) -> str:
        """The experiment's name: its file's."""
        return self.checked.name

    @property
    def experiment(self) -> Experiment:
        """What the file says."""
        return self.checked.experiment

    @cached_property
    def id(self) -> str:
        """Digest of every row and of all that is said about them."""
        rows = [
            [cell.id, r.label, r.backbone.name, r.clip.dataset, r.clip.clip, r.seed]
            + ([r.edit.edit, r.edit.kind, r.edit.digest] if r.edit else [])
            for r, cell in self.rows
        ]
        return digest([rows, self.experiment.model_dump(mode="json")])

    def shard(self, shard_id: str) -> Shard | None:
        """The shard of that id, if the plan has one."""
        return next((shard for shard in self.shards if shard.id == shard_id), None)

    def inversion_id(self, cell: Cell) -> str | None:
        """Name of the inverted latents that a cell starts from."""
        plain, tuning = inversion_id(cell, self.inversion_code), self.tuning_id(cell)
        return digest([plain, tuning]) if tuning else plain

    def tuning_id(self, cell: Cell) -> str | None:
        """Name of the tuned weights that a cell uses."""
        return tuning_id(cell, self.tuning_codes.get(cell.method.name, ""))

    def inversions(self, cells: Iterable[Cell]) -> dict[str, int]:
        """Every distinct inversion of some cells and its network evaluations."""
        found = {}
        for cell in cells:
            if cell.inversion:
                found[str(self.inversion_id(cell))] = cell.inversion.steps * cell.clip.frames
        return found

    def tunings(self, cells: Iterable[Cell]) -> dict[str, int]:
        """Every distinct tuning of some cells and its network evaluations."""
        return {
            str(self.tuning_id(cell)): spec.evaluations(cell.clip.frames)
            for cell in cells
            if (spec := tuning_of(cell))
        }

    def alone(self, cell: Cell) -> int:
        """Network evaluations of a cell that shares nothing: tuned, inverted and edited."""
        before = self.tunings([cell]) | self.inversions([cell])
        return alone(cell) + sum(before.values())

    def shared(self, shards: Iterable[Shard] | None = None) -> int:
        """Network evaluations with shared tunings, inversions, steps and source passes."""
        chosen = self.shards if shards is None else list(shards)
        steps = sum(family.evaluations() for shard in chosen for family in shard.families)
        cells = [cell for shard in chosen for cell in shard.cells]
        return steps + sum((self.tunings(cells) | self.inversions(cells)).values())


def make_plan(
    path: Path, catalogue: Catalogue, project: Path = PROJECT, only: Sequence[str] | None = None
) -> Plan:
    """Check an experiment and lay out its cells and shards; UserError if anything is wrong.

    With ``only``, ids of the cells of one shard or scoring batch, nothing else is laid out: the
    plan has those cells alone, in that order, as one shard.
    """
    checked = check(path, catalogue)
    code = code_of(catalogue, project)
    rows: list[tuple[Request, Cell]] = []
    cells: dict[str, Cell] = {}
    wanted = None if only is None else set(only)
    for request in checked.requests:
        cell = Cell.of(request, code(request.method))
        if wanted is not None and cell.id not in wanted:
            continue
        cell = cells.setdefault(cell.id, cell)
        rows.append((request, cell))
    experiment = checked.experiment
    if only is None:
        shards = shards_of(cells.values(), experiment)
    else:
        shards = [Shard(tuple(cells[cell_id] for cell_id in only if cell_id in cells))]
    inversion_code = code_digest(catalogue.inversion_modules, project)
    tuned = {type(cell.method) for cell in cells.values() if isinstance(cell.method, TunedMethod)}
    codes = {method.name: code_digest(method.tuning_modules, project) for method in tuned}
    return Plan(checked, rows, cells, shards, inversion_code, codes)


def modules_of(method: Method, catalogue: Catalogue) -> list[str]:
    """The modules that a method's frames come from; what these import is found from them."""
    modules = [type(method).__module__]
    if method.requires.backbone:
        for kind in method.requires.prediction:
            modules += catalogue.backbone_modules.get(kind, ())
    modules += catalogue.inversion_modules if method.requires.inversion else ()
    return modules


def code_of(catalogue: Catalogue, project: Path) -> Callable[[Method], str]:
    """The digest of the code that a method's frames depend on."""
    known: dict[str, str] = {}

    def code(method: Method) -> str:
        if method.name not in known:
            known[method.name] = code_digest(modules_of(method, catalogue), project)
        return known[method.name]

    return code
