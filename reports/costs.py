"""Cost tables: what a cell of each row takes in time, network evaluations and memory."""

from __future__ import annotations

from experiments.cost_names import COSTS
from reports.estimates import quartiles
from reports.results import Results
from reports.tables import Column, Line, Table, file_name, make_entry

_TITLES = {
    "seconds_load": ("Load", "s"),
    "seconds_warmup": ("Warm up", "s"),
    "seconds_invert": ("Invert", "s"),
    "seconds_edit": ("Edit", "s"),
    "seconds_decode": ("Decode", "s"),
    "seconds_per_frame": ("Edit per frame", "s"),
    "inversion_evaluations": ("Inversion evaluations", ""),
    "network_evaluations": ("Network evaluations", ""),
    "peak_memory_mb": ("Peak memory", "MB"),
    "peak_reserved_mb": ("Peak reserved", "MB"),
    "energy_j": ("Energy", "J"),
}


def cost_tables(results: Results) -> list[Table]:
    """One table of costs per dataset: frames of other sizes and numbers cost otherwise."""
    names = ["cost" if d == results.primary else f"cost-{d}" for d in results.datasets()]
    pairs = zip(results.datasets(), names, strict=True)
    return [_cost_table(results, dataset, file_name(name)) for dataset, name in pairs]


def _cost_table(results: Results, dataset: str, table_id: str) -> Table:
    """Median cost of a cell of each row, with quartiles; never ranked."""
    scope = results.table[results.table["dataset"] == dataset]
    # A cell that several requests share was measured once, so it counts once.
    cells = scope[scope["status"] == "ok"].drop_duplicates(["row", "cell"])
    names = [name for name in COSTS if name in cells and (cells[name] > 0).any()]
    rows = [row for row in results.rows if (scope["row"] == row.key).any()]
    values = {
        (row.key, name): quartiles(cells.loc[cells["row"] == row.key, name])
        for row in rows
        for name in names
    }
    columns = []
    for name in names:
        title, unit = _TITLES[name]
        typical = [v.mean for row in rows if (v := values[row.key, name]) is not None]
        seconds = 2 if max(typical, default=0) >= 1 else 3
        decimals = seconds if unit == "s" else 0
        columns.append(Column(name, title, "", "", unit, decimals, name))
    lines = []
    for row in rows:
        asked = scope[scope["row"] == row.key]
        entries = tuple(make_entry(values[row.key, column.key], column) for column in columns)
        lines.append(Line(row, entries, int((asked["status"] != "ok").sum()), len(asked)))
    caption = (
        f"{results.title} on {dataset}: cost of a cell run alone on a warm backbone, median and "
        "quartiles over distinct cells. Loading and warming up are paid once per job, inversion "
        "once per clip."
    )
    machines = cells["hardware_id"].nunique() if "hardware_id" in cells else 1
    if machines > 1:
        caption += f" Measured on {machines} kinds of machine: do not compare these times."
    return Table(table_id, f"{results.title}: cost on {dataset}", caption, tuple(columns),
                 tuple(lines))  # fmt: skip
