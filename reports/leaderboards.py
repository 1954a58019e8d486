"""The tables of a report: those that its experiment declares, and those that every report has."""

from __future__ import annotations

from experiments.cost_names import COSTS
from experiments.schema import ReportBlock, TableBlock
from reports.build import build
from reports.cards import Catalogue
from reports.results import Results
from reports.tables import Table, file_name


def all_tables(results: Results, catalogue: Catalogue) -> list[Table]:
    """Every table of a report, the declared ones first."""
    return [
        *declared_tables(results, catalogue),
        *leaderboards(results, catalogue),
        *difference_tables(results, catalogue),
        *cost_tables(results, catalogue),
    ]


def leaderboards(results: Results, catalogue: Catalogue) -> list[Table]:
    """Every row on every metric: each dataset in all (the primary one first) and by edit kind.

    Datasets are never averaged together: a mean over drawn and natural clips means nothing.
    """
    tables = []
    for dataset in results.datasets():
        tables.append(leaderboard(results, catalogue, dataset))
        kinds = results.kinds(dataset)
        tables += [
            leaderboard(results, catalogue, dataset, kind) for kind in kinds[len(kinds) < 2 :]
        ]
    return tables


def leaderboard(results: Results, catalogue: Catalogue, dataset: str, kind: str = "") -> Table:
    """Every row's means over the clips of one dataset, and of one edit kind where given."""
    name = _name(results, "edits" if kind else "leaderboard", dataset)
    name += f"-{file_name(kind.replace('+', '-and-'))}" * bool(kind)
    edits = [kind] if kind else []
    about = f"{dataset}, edits of {kind}" if kind else dataset
    title = f"{results.title}: {about}"
    return build(
        results, catalogue, TableBlock(name=name, title=title, dataset=dataset, edits=edits)
    )


def difference_tables(results: Results, catalogue: Catalogue) -> list[Table]:
    """One table per dataset where any row has a baseline; none where the experiment names none."""
    baseline = report_block(results).baseline
    tables = []
    for dataset in results.datasets() if baseline else []:
        block = TableBlock(
            name=_name(results, "differences", dataset),
            title=f"{results.title}: differences on {dataset}",
            dataset=dataset,
            baseline=baseline,
        )
        tables.append(build(results, catalogue, block))
    return [table for table in tables if table.lines and table.columns]


def cost_tables(results: Results, catalogue: Catalogue) -> list[Table]:
    """One table of costs per dataset: frames of other sizes and numbers cost otherwise."""
    tables = []
    for dataset in results.datasets():
        cells = results.ok[results.ok["dataset"] == dataset]
        names = [name for name in COSTS if name in cells and (cells[name] > 0).any()]
        if names:
            block = TableBlock(
                name=_name(results, "cost", dataset),
                title=f"{results.title}: cost on {dataset}",
                dataset=dataset,
                recipes=names,
            )
            tables.append(build(results, catalogue, block))
    return tables


def declared_tables(results: Results, catalogue: Catalogue) -> list[Table]:
    """The tables of the experiment's ``report`` block."""
    return [build(results, catalogue, block) for block in report_block(results).tables]


def report_block(results: Results) -> ReportBlock:
    """What the experiment says of its report."""
    return ReportBlock.model_validate(results.spec.get("report") or {})


def _name(results: Results, name: str, dataset: str) -> str:
    return file_name(name if dataset == results.primary else f"{name}-{dataset}")
