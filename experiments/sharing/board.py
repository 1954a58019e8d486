"""What DVC compares between two commits: metrics, parameters, plots, and reports by name.

``dvc.yaml`` has no stages: Snakemake alone says what is made of what.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from data.errors import UserError
from experiments.atomic import write_atomic
from experiments.sharing.index import Index, shared_folder

SECTIONS = ("metrics", "params", "plots", "artifacts")
Means = dict[str, dict[str, float]]  # row -> recipe -> mean


def write_board(root: Path, index: Index, title: str) -> None:
    """Write an experiment's means beside its index, as metrics and to plot, and name them."""
    report = json.loads((root / index.report / "metrics.json").read_text(encoding="utf-8"))
    means = {
        row: {recipe: entry["mean"] for recipe, entry in values.items() if isinstance(entry, dict)}
        for row, values in report.items()
    }
    folder = shared_folder(root, index.experiment)
    # DVC draws nothing of points that have not all the same fields.
    blank = dict.fromkeys(_recipes(means))
    points = [{"row": row} | blank | values for row, values in means.items()]
    for name, content in (("metrics", means), ("points", points)):
        write_atomic(folder / f"{name}.json", (json.dumps(content, indent=1) + "\n").encode())
    place = folder.relative_to(root).as_posix()
    plots = [
        {
            f"{index.experiment} {recipe}": {
                "template": "bar_horizontal",
                "x": recipe,
                "y": {f"{place}/points.json": "row"},
                "title": f"{index.experiment}: {recipe}",
            }
        }
        for recipe in _recipes(means)
    ]
    artifact = {"path": index.report, "type": "report", "desc": title}
    _enter(root / "dvc.yaml", index.experiment, place, plots, artifact)


def _recipes(means: Means) -> list[str]:
    return list(dict.fromkeys(recipe for values in means.values() for recipe in values))


def _enter(
    path: Path, name: str, place: str, plots: list[dict[str, Any]], artifact: dict[str, str]
) -> None:
    """Put an experiment's entries into ``dvc.yaml``, leaving everybody else's as they are."""
    round_trip = YAML(typ="rt")  # keeps comments; makes plain values, never objects
    held = (round_trip.load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
    if set(held) - set(SECTIONS):
        raise UserError(
            f"{path}: holds {', '.join(sorted(set(held) - set(SECTIONS)))}. Snakemake owns what is "
            f"made of what; only {', '.join(SECTIONS)} belong here."
        )
    for section, entry in (
        ("metrics", f"{place}/metrics.json"),
        ("params", f"experiments/{name}.yaml"),
    ):
        listed = held.setdefault(section, [])
        if entry not in listed:
            listed.append(entry)
    others = [plot for plot in held.get("plots", []) if not _is_of(plot, name)]
    held["plots"] = others + plots
    held.setdefault("artifacts", {})[name] = artifact
    out = io.StringIO()
    round_trip.dump({section: held[section] for section in SECTIONS}, out)
    write_atomic(path, out.getvalue().encode())


def _is_of(plot: Any, name: str) -> bool:
    """Whether sharing that experiment wrote a plot's entry."""
    keys = plot if isinstance(plot, dict) else {plot: None}
    return any(str(key).startswith(f"{name} ") for key in keys)
