"""Tables that an experiment declares: rows, columns, groups, differences, published numbers."""

from __future__ import annotations

import csv
import io
import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from data.errors import UserError
from reports.__main__ import main
from reports.latex import to_latex
from reports.leaderboards import declared_tables, leaderboard
from reports.render import read
from reports.results import Results
from reports.tables import Table
from reports.templating import to_html
from reports.text_tables import to_csv, to_markdown
from reports.write_tables import cells_csv
from tests.report_fixture import HOSTILE, FixtureCatalogue, fabricate

CATALOGUE = FixtureCatalogue()
TEXT, ORACLE, WARP = "clip_text@world-tiny", "psnr_oracle@rgb", "warp_error@exact"
PUBLISHED = {"title": "CLIP score", "source": "Geyer et al. 2024, Table 1", "unit": "×100",
             "values": {"tokenflow": "33.0", "pnp": "-0.5"}}  # fmt: skip
DECLARED: list[dict[str, Any]] = [
    {
        "name": "main",
        "title": "Main results",
        "caption": f"All methods; {HOSTILE}",
        "rows": ["source", {"label": "tokenflow", "setting": {"pnp_f_t": 0.8}}, "pnp"],
        "recipes": [ORACLE, WARP, "pick_score@v1", "seconds_per_frame"],
        "published": [PUBLISHED],
    },
    {"name": "by-edit", "recipes": [ORACLE], "columns": "edit", "rows": ["sdedit", "pnp"]},
    {"name": "swept", "recipes": [ORACLE, WARP], "columns": "pnp_f_t", "edits": ["colour"]},
    {"name": "grouped", "recipes": [ORACLE], "group": "pnp_f_t"},
    {"name": "edit-blocks", "recipes": [ORACLE], "group": "edit", "rows": ["pnp", "tokenflow"]},
    {"name": "gains", "baseline": "sdedit", "recipes": [ORACLE, WARP]},
]


def declare(root: Path, tables: list[dict[str, Any]]) -> Results:
    spec = root / "experiments" / "made.yaml"
    content = yaml.safe_load(spec.read_text()) | {"report": {"tables": tables}}
    spec.write_text(yaml.safe_dump(content, sort_keys=False))
    return read("made", root, CATALOGUE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("declared")
    fabricate(root, clips=12, seeds=2, frames=2, pictures=False)
    return declare(root, DECLARED)


@pytest.fixture(scope="module")
def tables(made: Results) -> dict[str, Table]:
    return {table.id: table for table in declared_tables(made, CATALOGUE)}


def titles(table: Table) -> list[str]:
    return [line.row.name for line in table.lines]


def test_rows_stand_in_the_order_they_are_named(tables: dict[str, Table]) -> None:
    assert titles(tables["main"]) == [
        "source", "tokenflow (pnp_f_t = 0.8)", "pnp (pnp_f_t = 0.4)", "pnp (pnp_f_t = 0.8)",
    ]  # fmt: skip


def test_published_numbers_have_their_own_column_and_source(tables: dict[str, Table]) -> None:
    table = tables["main"]
    column = table.columns[-1]
    assert (column.title, column.extractor, column.arrow) == ("CLIP score", "published", "")
    assert [line.entries[-1].text for line in table.lines] == ["–", "33.0", "−0.5", "−0.5"]
    assert not any(line.entries[-1].rank for line in table.lines)
    assert "Published, not measured here" in table.caption and PUBLISHED["source"] in table.caption
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["published: CLIP score"] for row in rows][:2] == ["", "33.0"]


def test_a_missing_extractor_keeps_its_column_and_is_reported(tables: dict[str, Table]) -> None:
    table = tables["main"]
    at = [column.key for column in table.columns].index("pick_score@v1")
    assert {line.entries[at].text for line in table.lines} == {"–"}
    assert "Without a value: pick_score@v1" in table.caption


def test_costs_are_quartiles_of_cells_and_never_ranked(made: Results, tables: dict) -> None:
    table = tables["main"]
    at = [column.key for column in table.columns].index("seconds_per_frame")
    for line in table.lines:
        cells = made.ok[(made.ok.row == line.row.key) & (made.ok.dataset == "world")]
        cells = cells.drop_duplicates("cell")["seconds_per_frame"]
        entry = line.entries[at]
        assert entry.estimate.mean == pytest.approx(cells.median()) and not entry.rank


def test_recipes_may_be_spread_over_kinds_of_edit(made: Results, tables: dict) -> None:
    table = tables["by-edit"]
    assert [column.over for column in table.columns] == ["colour", "ground", "shape+colour"]
    assert [(column.title, width) for column, width in table.spans()] == [("PSNR oracle", 3)]
    kinds = made.kinds("world")
    leader = {kind: leaderboard(made, CATALOGUE, "world", kind) for kind in kinds}
    for line, (at, kind) in itertools.product(table.lines, enumerate(kinds)):
        other = next(n for n in leader[kind].lines if n.row.key == line.row.key)
        keys = [column.key for column in leader[kind].columns]
        assert line.entries[at].estimate == other.entries[keys.index(ORACLE)].estimate


def test_rows_that_differ_in_the_spread_setting_only_share_a_line(tables: dict) -> None:
    table = tables["swept"]
    assert titles(table) == ["source", "reconstruct", "oracle", "sdedit", "pnp", "tokenflow"]
    assert [column.over for column in table.columns] == ["pnp_f_t = 0.4", "pnp_f_t = 0.8"] * 2
    pnp = next(line for line in table.lines if line.row.title == "pnp")
    assert [e.part.row for e in pnp.entries[:2]] == ["pnp[pnp_f_t=0.4]", "pnp[pnp_f_t=0.8]"]
    sdedit = next(line for line in table.lines if line.row.title == "sdedit")
    assert sdedit.entries[0].estimate == sdedit.entries[1].estimate  # has no such setting


def test_groups_are_ranked_by_themselves(tables: dict[str, Table]) -> None:
    blocks = {line.block for line in tables["grouped"].lines}
    assert blocks == {"", "pnp_f_t = 0.4", "pnp_f_t = 0.8"}
    for table in (tables["grouped"], tables["edit-blocks"]):
        for block in {line.block for line in table.lines} - {""}:
            lines = [line for line in table.lines if line.block == block]
            best = max(lines, key=lambda line: line.entries[0].estimate.mean)
            assert best.entries[0].rank == "best"


def test_bold_is_for_the_best_and_all_not_significantly_worse(tmp_path: Path) -> None:
    """Three rows: the best, one that beats it on half the clips, one always far below."""
    fabricate(tmp_path, clips=12, seeds=1, frames=2, pictures=False, failures=False)
    path = tmp_path / "results" / "made.parquet"
    table = pd.read_parquet(path)
    clip = table["clip"].str[-2:].where(table["dataset"] == "world", "0").astype(int)
    close = 0.01 + (-1.0) ** clip
    table[WARP] = 5.0 + clip / 10
    table.loc[table["method"] == "pnp", WARP] += close[table["method"] == "pnp"]
    table.loc[table["method"] == "sdedit", WARP] += 9.0
    table.to_parquet(path)
    rows = ["sdedit", *({"label": m, "setting": {"pnp_f_t": 0.4}} for m in ("pnp", "tokenflow"))]
    (found,) = declared_tables(
        declare(tmp_path, [{"name": "t", "rows": rows, "recipes": [WARP]}]), CATALOGUE
    )
    entries = {line.row.title: line.entries[0] for line in found.lines}
    assert {k: e.rank for k, e in entries.items()} == {
        "tokenflow": "best", "pnp": "best second", "sdedit": "",
    }  # fmt: skip
    assert entries["sdedit"].adjusted == pytest.approx(2 * 2 / 2**12)  # all signs agree; Holm of 2
    assert entries["sdedit"].test.wins == 0 and entries["pnp"].test.wins == 0.5
    assert r"\textbf{\underline{" in to_latex(found) and "**<u>" in to_markdown(found)


def test_every_number_can_be_traced_to_its_cells(made: Results, tables: dict) -> None:
    """From the two files that lie beside a report, with nothing but the rule they state."""
    cells = pd.read_csv(io.StringIO(cells_csv(made)), keep_default_na=False, na_values=[""])
    assert cells["cell"].str.fullmatch("[0-9a-f]{16}").all()
    for name, table in tables.items():
        for line, (at, column) in itertools.product(table.lines, enumerate(table.columns)):
            entry = line.entries[at]
            if entry.estimate is None or "@" not in column.recipe or name == "gains":
                continue
            part = entry.part
            behind = cells[(cells.row == part.row) & (cells.dataset == part.dataset)]
            behind = behind[behind.edit_kind.isin(part.kinds)] if part.kinds else behind
            behind = behind[behind.status == "ok"]
            by_edit = behind.groupby(["clip", "edit"])[column.recipe].mean()
            assert by_edit.groupby("clip").mean().mean() == pytest.approx(entry.estimate.mean)


def test_a_number_whose_cells_all_failed_says_so(tmp_path: Path) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=2, pictures=False)
    block = {"name": "t", "rows": ["sdedit"], "edits": ["ground"], "recipes": [WARP]}
    (table,) = declared_tables(declare(tmp_path, [block]), CATALOGUE)
    assert table.lines[0].entries[0].text == "failed"
    for text in (to_latex(table), to_markdown(table), to_csv(table), to_html(table)):
        assert "failed" in text


def test_rows_that_are_gone_name_the_command(tmp_path: Path) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=2, pictures=False)
    results = declare(tmp_path, [{"name": "t", "rows": ["pnpp"]}])
    with pytest.raises(UserError, match=r"pnpp.*snakemake -j N made"):
        declared_tables(results, CATALOGUE)


def test_the_tables_command_gives_equal_bytes(tmp_path: Path, capsys: Any) -> None:
    fabricate(tmp_path, clips=2, seeds=1, frames=2, pictures=False)
    made = declare(tmp_path, DECLARED)
    folder = made.root / "reports" / "made" / "tables"
    for name in ("made", "other"):  # an experiment without results is passed over
        (made.root / "experiments" / f"{name}.yaml").touch()
    written = []
    for _ in range(2):
        assert main(["tables", "--root", str(made.root)], CATALOGUE) == 0
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]
    assert {f"main.{kind}" for kind in ("tex", "md", "csv", "html")} | {"cells.csv"} <= set(
        written[0]
    )
    assert "made: " in capsys.readouterr().out
    assert main(["tables", "other", "--root", str(made.root)], CATALOGUE) == 2
    assert "no results of 'other' yet" in capsys.readouterr().err


def test_a_small_table_of_differences_answers_for_its_own_comparisons_alone(tmp_path: Path) -> None:
    """One method held against the baseline edit by edit; Holm's step-down written out."""
    few = {"name": "few", "baseline": "sdedit", "group": "edit", "recipes": [ORACLE]}
    few["rows"] = [{"label": "pnp", "setting": {"pnp_f_t": 0.4}}]
    many = {"name": "many", "baseline": "sdedit", "group": "edit", "recipes": [ORACLE, WARP]}
    fabricate(tmp_path, clips=12, seeds=1, frames=2, pictures=False, failures=False)
    small, large = declared_tables(declare(tmp_path, [few, many]), CATALOGUE)
    assert len(small.lines) == len({line.block for line in small.lines}) == 3
    asked = {line.block: line.entries[0] for line in small.lines}
    ordered, floor = sorted(asked.values(), key=lambda entry: entry.test.p), 0.0
    for k, entry in enumerate(ordered):
        floor = max(floor, min(1.0, (len(ordered) - k) * entry.test.p))
        assert entry.adjusted == pytest.approx(floor)
    for line in large.lines:
        if line.row.name == small.lines[0].row.name:
            same = asked[line.block]
            assert line.entries[0].test.p == same.test.p
            assert line.entries[0].adjusted >= same.adjusted


def test_foreign_text_stays_text(tables: dict[str, Table]) -> None:
    page = to_html(tables["main"])
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "$x_1$" not in to_latex(tables["main"]) and r"\$x\_1\$" in to_latex(tables["main"])


def test_no_block_is_headed_twice(tables: dict[str, Table]) -> None:
    """Not even where it begins with references, which are set apart."""
    for table in tables.values():
        headings = [heading for heading, _ in table.blocks() if heading]
        assert len(headings) == len({line.block for line in table.lines if line.block})


def test_latex_counts_its_columns(tables: dict[str, Table]) -> None:
    for table in tables.values():
        text = to_latex(table)
        width = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1))
        for row in (line for line in text.splitlines() if line.endswith(r" \\")):
            wide = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + wide == width - 1


LATEX = next((tool for tool in ("pdflatex", "lualatex", "xelatex") if shutil.which(tool)), None)


@pytest.mark.skipif(LATEX is None, reason="no LaTeX (pdflatex, lualatex, xelatex) is installed")
def test_latex_compiles(tables: dict[str, Table], tmp_path: Path) -> None:
    inputs = "\n".join(rf"\input{{{name}}}" for name in tables)
    for name, table in tables.items():
        (tmp_path / f"{name}.tex").write_text(to_latex(table))
    (tmp_path / "paper.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\usepackage[T1]{{fontenc}}"
        rf"\begin{{document}}{inputs}\end{{document}}"
    )
    done = subprocess.run(
        [LATEX, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout  # what is wider than a page is scaled to its width
