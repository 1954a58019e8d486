"""The tidy table of an experiment: one row per request, one column per setting, recipe and cost."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd

from experiments.atomic import write_atomic
from experiments.cells import Cell, Request
from experiments.cost_names import COUNTS, SECONDS, TUNING
from experiments.planner import Plan
from experiments.score import edit_name
from experiments.store import OK, Store
from methods.tuning import TunedMethod

NOT_RUN = "not run"


def table(plan: Plan, store: Store) -> pd.DataFrame:
    """Rows in the order of the experiment; a cell without frames has its reason as ``status``.

    A cell whose frames are not those that were written counts as not run.
    """
    runs = {c: store.run(c) if store.settled(c) else None for c in plan.cells}
    scores = {cell_id: store.scores(cell_id) for cell_id in plan.cells}
    rows = [
        _row(plan, request, cell, runs[cell.id], scores[cell.id]) for request, cell in plan.rows
    ]
    return pd.DataFrame(rows, columns=columns(plan))


def columns(plan: Plan) -> list[str]:
    """Column names: they follow from the experiment alone, whatever failed."""
    settings = dict.fromkeys(name for request, _ in plan.rows for name in request.setting_json)
    return [
        "experiment",
        "cell",
        "method",
        "label",
        "backbone",
        "dataset",
        "clip",
        "edit",
        "edit_kind",
        "seed",
        "status",
        "n_frames",
        *settings,
        *plan.experiment.metrics,
        *cost_columns(plan),
        "hardware_id",
    ]


def cost_columns(plan: Plan) -> list[str]:
    """The cost figures; of tuning only where a cell of the experiment may be tuned."""
    tuned = any(isinstance(cell.method, TunedMethod) for cell in plan.cells.values())
    names = (*SECONDS, "seconds_per_frame", *COUNTS)
    return [name for name in names if tuned or name not in TUNING]


def _row(
    plan: Plan, request: Request, cell: Cell, run: dict[str, Any] | None, scores: dict[str, Any]
) -> dict[str, Any]:
    status = run["status"] if run else NOT_RUN
    row: dict[str, Any] = {
        "experiment": plan.name,
        "cell": cell.id,
        "method": request.method.name,
        "label": request.label,
        "backbone": request.backbone.name,
        "dataset": request.clip.dataset,
        "clip": request.clip.clip,
        "edit": edit_name(request.edit),
        "edit_kind": request.edit.kind if request.edit else "",
        "seed": request.seed,
        "status": status,
        "n_frames": request.clip.frames,
    }
    row |= {name: _plain(value) for name, value in request.setting_json.items()}
    if run and status == OK:
        known = scores.get(edit_name(request.edit), {})
        row |= {recipe: known.get(recipe, {}).get("value") for recipe in plan.experiment.metrics}
        cost = run["cost"]
        # A cell of an older version lacks the figures that were added since.
        row |= {name: cost.get(name) for name in (*SECONDS, *COUNTS, "hardware_id")}
        row["seconds_per_frame"] = cost["seconds_edit"] / request.clip.frames
    return row


def _plain(value: Any) -> Any:
    """A setting's value as a table can hold it: lists and mappings as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def write_table(frame: pd.DataFrame, plan: Plan, store: Store) -> bytes:
    """Write ``results/<experiment>.parquet`` and return its bytes."""
    numbers = [*plan.experiment.metrics, *cost_columns(plan)]
    # An all-missing column would otherwise have no type, and differ between two runs.
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    content = buffer.getvalue()
    write_atomic(store.root / f"{plan.name}.parquet", content)
    return content
