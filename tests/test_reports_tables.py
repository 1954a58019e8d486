"""Tables: what is averaged over what, who may be bold, and how each output is written."""

from __future__ import annotations

import csv
import io
import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.estimates import by_clip, estimate, paired_test
from reports.latex import escape, to_latex
from reports.leaderboards import cost_tables, leaderboard, leaderboards
from reports.results import Results, load_results
from reports.rows import Row
from reports.tables import Column, Entry, Line, Table, file_name, spell, write
from reports.text_tables import to_csv, to_markdown
from tests.report_fixture import HOSTILE, FixtureCatalogue, fabricate

PRINTERS = (to_markdown, to_latex, to_csv)


def load(root: Path) -> Results:
    catalogue = FixtureCatalogue()
    return load_results(
        "made", root, lambda name: catalogue.method(name).control,
        lambda name: [field.name for field in catalogue.method(name).fields],
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("made")
    fabricate(root, clips=5, seeds=2, frames=2, pictures=False)
    return load(root)


@pytest.fixture(scope="module")
def tables(made: Results) -> dict[str, Table]:
    return {table.id: table for table in leaderboards(made, FixtureCatalogue())}


def numbers(values: dict[tuple[str, str, int], float]) -> pd.DataFrame:
    """Requests from (clip, edit, seed) → value."""
    lines = [(*key, value) for key, value in values.items()]
    return pd.DataFrame(lines, columns=["clip", "edit", "seed", "m@x"]).assign(dataset="d")


def test_a_clip_counts_once_however_many_seeds_and_edits_it_has() -> None:
    lines = numbers({("a", "e", 0): 0, ("a", "e", 1): 2, ("a", "f", 0): 7, ("b", "e", 0): 10})
    assert by_clip(lines, "m@x") == (4.0, 10.0)  # ((0 + 2) / 2 + 7) / 2, and 10
    assert estimate(lines, "m@x").mean == 7.0
    assert estimate(lines, "m@x").n == 2


def test_no_interval_below_five_clips() -> None:
    for n, known in ((4, False), (5, True)):
        found = estimate(numbers({(f"c{k}", "e", 0): float(k**2) for k in range(n)}), "m@x")
        assert (found.low is not None) == known
        assert len(found.points) == n
    assert found.low < found.mean < found.high


def test_an_interval_stays_within_what_the_metric_can_be() -> None:
    lines = numbers({(f"c{k}", "e", 0): float(k > 0) for k in range(5)})  # 0, 1, 1, 1, 1
    free, bounded = estimate(lines, "m@x"), estimate(lines, "m@x", (0.0, 1.0))
    assert free.high > 1.0 == bounded.high and free.low == bounded.low > 0
    assert free.mean == bounded.mean == 0.8


def test_sign_flip_p_equals_the_count_of_all_sign_patterns() -> None:
    rng = np.random.default_rng(3)
    differences = rng.normal(0.6, 1.0, 9)
    a = numbers({(f"c{k}", "e", 0): value + 5 for k, value in enumerate(differences)})
    b = numbers({(f"c{k}", "e", 0): 5.0 for k in range(9)})
    flips = np.array(list(itertools.product([1, -1], repeat=9)))
    means = np.abs((flips * differences).mean(axis=1))
    expected = (means >= abs(differences.mean()) - 1e-12).mean()
    assert paired_test(a, b, "m@x").p == pytest.approx(expected, abs=1e-9)


def test_a_pair_compares_only_what_both_have() -> None:
    a = numbers({("a", "e", 0): 1.0, ("b", "e", 0): 2.0, ("c", "e", 0): 99.0})
    b = numbers({("a", "e", 0): 1.0, ("b", "e", 0): 2.0})
    assert paired_test(a, b, "m@x").p == 1.0


def test_rows_name_what_sets_them_apart(made: Results) -> None:
    assert [row.key for row in made.rows] == [
        "source", "reconstruct", "oracle",
        "sdedit", "pnp[pnp_f_t=0.4]", "pnp[pnp_f_t=0.8]",
        "tokenflow[pnp_f_t=0.4]", "tokenflow[pnp_f_t=0.8]",
    ]  # fmt: skip
    assert [row.control for row in made.rows] == [True] * 3 + [False] * 5


def test_one_table_per_dataset_and_per_kind_of_edit(tables: dict[str, Table]) -> None:
    assert list(tables) == [
        "leaderboard", "edits-colour", "edits-ground", "edits-shape-and-colour",
        "leaderboard-footage",
    ]  # fmt: skip
    assert "5 clips, 15 edits, 2 seeds" in tables["leaderboard"].caption
    assert "5 clips, 5 edits, 2 seeds" in tables["edits-colour"].caption
    footage = tables["leaderboard-footage"]
    assert [line.row.key for line in footage.lines] == ["source", "reconstruct"]
    assert "psnr_oracle@rgb" not in [column.key for column in footage.columns]


def test_failures_are_counted_and_a_missing_extractor_has_no_column(
    tables: dict[str, Table],
) -> None:
    table = tables["leaderboard"]
    failures = {line.row.key: line.failures for line in table.lines}
    assert failures == dict.fromkeys(failures, "") | {"sdedit": "2 of 30"}
    assert "pick_score@v1" not in [column.key for column in table.columns]


def test_every_mean_is_the_mean_of_the_rows_behind_it(
    made: Results, tables: dict[str, Table]
) -> None:
    table = tables["edits-ground"]
    at = [column.key for column in table.columns].index("warp_error@exact")
    for line in table.lines:
        behind = made.table[
            (made.table.row == line.row.key)
            & (made.table.edit == "ground")
            & (made.table.status == "ok")
        ]
        expected = np.mean(
            [group["warp_error@exact"].mean() for _, group in behind.groupby("clip")]
        )
        assert line.entries[at].estimate.mean == pytest.approx(expected)


def test_bold_takes_a_significant_lead_and_references_have_no_rank(tmp_path: Path) -> None:
    ranks = {}
    for clips in (5, 12):
        fabricate(tmp_path / str(clips), clips=clips, seeds=1, frames=2, pictures=False)
        results = load(tmp_path / str(clips))
        table = leaderboard(results, FixtureCatalogue(), "world")
        at = [column.key for column in table.columns].index("psnr_oracle@rgb")
        ranks[clips] = {line.row.key: line.entries[at].rank for line in table.lines}
        assert ("out of reach" in table.caption) == (clips == 5)
        assert not any(e.rank for line in table.lines if line.row.control for e in line.entries)
    best, second = "tokenflow[pnp_f_t=0.8]", "pnp[pnp_f_t=0.8]"
    assert ranks[5][best] == "" and ranks[5][second] == "second"
    assert ranks[12][best] == "best" and ranks[12][second] == "second"


def test_a_description_is_never_ranked(tables: dict[str, Table]) -> None:
    table = tables["leaderboard"]
    at = [column.key for column in table.columns].index("dynamic_degree@dis")
    assert table.columns[at].arrow == ""
    assert not any(line.entries[at].rank for line in table.lines)


def test_equal_results_give_equal_bytes(made: Results, tables: dict[str, Table]) -> None:
    again = {table.id: table for table in leaderboards(load(made.root), FixtureCatalogue())}
    for name, table in tables.items():
        for printer in PRINTERS:
            assert printer(table) == printer(again[name])


def hostile_table() -> Table:
    row = Row("k", "m", HOSTILE, f"x = {HOSTILE}", "b", ())
    column = Column("r@x", HOSTILE, "a_b", "↑", "×10³", 1, "")
    return Table("t", HOSTILE, f"{HOSTILE}\nnext line", (column,), (
        Line(row, (Entry(None, "−1.5", "[−2, 1]", "best"),), 1, 2),
    ))  # fmt: skip


def test_latex_escapes_every_special_character() -> None:
    text = to_latex(hostile_table())
    for command in (r"\&", r"\%", r"\$", r"\#", r"\_", r"\{", r"\}", r"\textasciitilde{}",
                    r"\textasciicircum{}", r"\textbackslash{}", r"\textless{}"):  # fmt: skip
        assert command in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip()
    bare = re.sub(r"\\[a-zA-Z]+|\\[&%$#_{}]", "", body.removesuffix(r"\\"))
    assert bare.count("&") == 3  # between four cells, and no other
    assert not set("%#_~^<>\\") & set(bare)
    assert bare.count("{") == bare.count("}")
    assert text.isascii()


def test_latex_escape_leaves_plain_text_alone() -> None:
    assert escape("TokenFlow (Geyer et al., 2023), p = 0.5") == (
        "TokenFlow (Geyer et al., 2023), p = 0.5"
    )


def test_latex_columns_fit_their_rows(tables: dict[str, Table]) -> None:
    for table in tables.values():
        text = to_latex(table)
        width = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text).group(1))
        rows = [line for line in text.splitlines() if line.endswith(r" \\")]
        assert rows and all(len(re.findall(r"(?<!\\)&", row)) == width - 1 for row in rows)
        assert r"\toprule" in text and r"\bottomrule" in text and r"\label{tab:" in text


def test_markdown_keeps_its_columns_whatever_a_label_holds() -> None:
    table = hostile_table()
    row = Row("k", "m", "a|b\nc", "", "b", ())
    lines = (Line(row, table.lines[0].entries, 0, 2),)
    text = to_markdown(Table("t", "T", "C", table.columns, lines))
    cells = [re.findall(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("|")]
    assert {len(bars) for bars in cells} == {4}
    assert "<script" not in to_markdown(table)


def test_csv_gives_mean_low_high_and_n(tables: dict[str, Table]) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(tables["leaderboard"]))))
    for row, line in zip(rows, tables["leaderboard"].lines, strict=True):
        value = line.entries[0].estimate
        name = tables["leaderboard"].columns[0].key
        assert float(row[name]) == pytest.approx(value.mean, rel=1e-5)
        assert float(row[f"{name} low"]) == pytest.approx(value.low, rel=1e-5)
        assert int(row[f"{name} n"]) == value.n == 5
    assert [row["row"] for row in rows] == [line.row.key for line in tables["leaderboard"].lines]


def test_a_shared_cell_costs_once(made: Results) -> None:
    world, footage = cost_tables(made, FixtureCatalogue())
    assert (world.id, footage.id) == ("cost", "cost-footage")
    at = [column.key for column in world.columns].index("network_evaluations")
    counted = {line.row.key: line.entries[at].estimate.n for line in world.lines}
    assert counted["reconstruct"] == 5  # one cell per clip, for 3 edits x 2 seeds
    assert counted["sdedit"] == 28  # every edit and seed by itself, two failed


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.04, 1, "0.0"), (-1.25, 2, "−1.25"), (12.0, 0, "12"), (float("inf"), 2, "∞")],
)
def test_numbers_are_written_as_in_print(value: float, decimals: int, text: str) -> None:
    assert write(value, decimals) == text


def test_names() -> None:
    assert spell("clip_text") == "CLIP text"
    assert spell("warp_error") == "Warp error"
    assert spell("viescore_sc") == "VIEScore SC" and spell("box_iou") == "Box IoU"
    assert file_name("edits-a b/../c") == "edits-a-b-..-c"
