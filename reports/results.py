"""Read what an experiment left behind: the tidy table, its cells, and the rows of every table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from data.errors import UserError, nearest
from experiments.cost_names import COSTS
from experiments.store import Store
from reports.rows import Row, show_value, told

MEASURED = (*(name for name in COSTS if "evaluations" not in name), "hardware_id")  # vary by run
REQUEST = ["dataset", "clip", "edit", "seed"]  # what two methods are compared on


@dataclass(frozen=True)
class Results:
    """One experiment's rows and where its cells lie."""

    experiment: str
    root: Path
    spec: dict[str, Any]  # the experiment's YAML
    table: pd.DataFrame  # one line per request, with a column ``row`` (a Row's key)
    rows: tuple[Row, ...]  # controls first, then in the experiment's order

    @property
    def title(self) -> str:
        """The experiment's title, else its name."""
        return str(self.spec.get("title") or self.experiment)

    @cached_property
    def recipes(self) -> list[str]:
        """Metric recipes, in the experiment's order."""
        return [name for name in self.table.columns if "@" in name]

    @cached_property
    def ok(self) -> pd.DataFrame:
        """The requests whose cell succeeded."""
        return self.table[self.table["status"] == "ok"]

    @cached_property
    def scored(self) -> pd.DataFrame:
        """What tables read of the requests that succeeded: who, on what, and the numbers."""
        names = ["row", *REQUEST, "edit_kind", "cell", *self.recipes, *COSTS]
        return self.ok[[name for name in names if name in self.ok]]

    @cached_property
    def primary(self) -> str:
        """The dataset with the most requests: the one whose leaderboard comes first."""
        return str(self.table["dataset"].value_counts(sort=True).index[0])

    def datasets(self) -> list[str]:
        """Datasets, the primary one first."""
        names = [str(name) for name in self.table["dataset"].unique()]
        return sorted(names, key=lambda name: (name != self.primary, names.index(name)))

    def kinds(self, dataset: str) -> list[str]:
        """The edit kinds asked of a dataset: simple ones first."""
        kinds = self.table.loc[self.table["dataset"] == dataset, "edit_kind"].dropna().unique()
        return sorted((str(kind) for kind in kinds if kind), key=lambda k: (k.count("+"), k))

    @cached_property
    def store(self) -> Store:
        """The cells."""
        return Store(self.root / "results")

    def run(self, cell: str) -> dict[str, Any]:
        """A cell's run record; empty where there is none (a cell refused before it ran)."""
        return self.store.run(cell) or {}

    def scores(self, cell: str, edit: str) -> dict[str, dict[str, Any]]:
        """recipe → value, per_frame and reason of a cell's frames held against an edit."""
        return self.store.scores(cell).get(edit, {})

    def frames(self, cell: str) -> np.ndarray | None:
        """(N, H, W, 3) uint8 frames of a cell, or None where it has none that can be trusted."""
        return self.store.frames(cell) if self.store.valid(cell) else None


def load_results(
    experiment: str,
    root: Path,
    is_control: Callable[[str], bool],
    setting_names: Callable[[str], Sequence[str]],
) -> Results:
    """Read ``results/<experiment>.parquet`` and ``experiments/<experiment>.yaml`` under a root.

    ``setting_names`` gives a method's own settings, so that a column that two methods share is
    read for those that have it. Raises :class:`UserError` where a file is missing or unreadable.
    """
    spec_path = root / "experiments" / f"{experiment}.yaml"
    if not spec_path.exists():
        known = sorted(path.stem for path in spec_path.parent.glob("*.yaml"))
        raise UserError(
            f"no experiment '{experiment}': {spec_path} does not exist."
            f"{nearest(experiment, known)} Experiments: {', '.join(known) or 'none'}."
        )
    path = root / "results" / f"{experiment}.parquet"
    if not path.exists():
        raise UserError(
            f"no results of '{experiment}' yet: {path} does not exist. "
            f"Run `snakemake -j N {experiment}` first (N = number of cores)."
        )
    spec = yaml.safe_load(spec_path.read_text()) or {}
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable parquet file ({error}).") from error
    if table.empty:
        raise UserError(f"{path} holds no rows: '{experiment}' asks for no cell at all.")
    table = table.reset_index(drop=True)
    table["edit_kind"] = table["edit_kind"].fillna("").astype(str)
    table["edit"] = table["edit"].fillna("").astype(str)
    rows, keys = _rows(table, is_control, setting_names)
    return Results(experiment, root, spec, table.assign(row=keys), rows)


def _rows(
    table: pd.DataFrame,
    is_control: Callable[[str], bool],
    setting_names: Callable[[str], Sequence[str]],
) -> tuple[tuple[Row, ...], list[str]]:
    """The distinct (method, label, backbone, setting) of a table and each line's row key."""
    labels = table["label"].fillna("").astype(str)
    titles = labels.where(labels != "", table["method"].astype(str))
    several_backbones = table.loc[table["backbone"].fillna("") != "", "backbone"].nunique() > 1
    rows: dict[tuple, Row] = {}
    identities: list[tuple] = [()] * len(table)
    for title, group in table.groupby(titles, sort=False):
        method = str(group["method"].iloc[0])
        names = [name for name in setting_names(method) if name in group]
        varying = [name for name in names if group[name].astype(str).nunique() > 1]
        for index, line in group.iterrows():
            values = tuple((name, line[name]) for name in varying)
            backbone = str(line["backbone"] or "")
            identity = (title, backbone, tuple(str(value) for _, value in values))
            identities[int(index)] = identity
            if identity in rows:
                continue
            parts = [(name, show_value(value)) for name, value in values]
            if several_backbones and backbone:
                parts.append(("backbone", backbone))
            key, detail = told(str(title), parts)
            rows[identity] = Row(
                key=key,
                method=method,
                title=str(title),
                detail=detail,
                backbone=backbone,
                values=values,
                control=is_control(method),
            )
    keys = [rows[identity].key for identity in identities]
    return tuple(sorted(rows.values(), key=lambda row: not row.control)), keys
