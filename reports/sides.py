"""The two sides of a comparison: rendered reports, read back from their own files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data.errors import UserError, nearest

NEEDED = ("cells.csv", "provenance.json")


@dataclass(frozen=True)
class Side:
    """One report: a line per request, and what its numbers were made with."""

    name: str  # <experiment>/<version>
    cells: pd.DataFrame
    provenance: dict[str, Any]

    def recipe(self, name: str) -> dict[str, str] | None:
        """Version and extractor digest of a recipe; None where the report does not have it."""
        return self.provenance["metrics"].get(name)

    @property
    def clips(self) -> dict[str, str]:
        """``<dataset>/<clip>``: digest of its frames and prompt."""
        return self.provenance["clips"]


def read_side(given: str, root: Path) -> Side:
    """A report by its folder, as ``<experiment>``, ``<experiment>/<version>`` or ``<version>``.

    An experiment alone means its latest report. Raises UserError where there is none, or where it
    was written before reports kept their cells.
    """
    folder = _folder(given, root)
    for name in NEEDED:
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} has no {name}: it was rendered by an older version. Check that version "
                "out, or render its results again (`python -m reports render <experiment>`)."
            )
    try:
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        cells = pd.read_csv(
            folder / "cells.csv",
            keep_default_na=False,
            na_values=[""],
            float_precision="round_trip",
            dtype={"edit": str, "edit_kind": str, "cell": str, "hardware_id": str},
        )
        name = f"{provenance['experiment']}/{folder.name}"
    except (ValueError, KeyError, OSError) as error:
        raise UserError(f"{folder} is not a readable report ({error}).") from error
    for column in ("edit", "edit_kind", "hardware_id"):
        cells[column] = cells[column].fillna("") if column in cells else ""
    return Side(name, cells, provenance)


def _folder(given: str, root: Path) -> Path:
    """The folder of a report, links followed."""
    reports = root / "reports"
    if not given:
        raise UserError(
            "two reports are compared: `python -m reports compare A B`, or `snakemake compare "
            "--config first=A second=B`. Each is a report's folder, an experiment or a version."
        )
    below = (Path(given), reports / given / "latest", reports / given, *reports.glob(f"*/{given}"))
    for path in below:
        if path.is_dir() and any((path / name).is_file() for name in NEEDED):
            return path.resolve()
    known = sorted({p.parent.parent.name for p in reports.glob("*/latest/provenance.json")})
    known += sorted(
        f"{p.parent.parent.name}/{p.parent.name}"
        for p in reports.glob("*/*/provenance.json")
        if p.parent.name != "latest"
    )
    raise UserError(
        f"no report '{given}'.{nearest(given, known)} Reports here: {', '.join(known) or 'none'}."
    )
