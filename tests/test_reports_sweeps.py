"""Swept settings and named baselines: curves, trade-offs and paired differences."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from metrics.statistics import holm, paired_difference
from reports.cards import Field, MethodCard
from reports.estimates import by_clip
from reports.heatmaps import _grids, heat_maps
from reports.leaderboards import difference_tables, leaderboard
from reports.results import Results, load_results
from reports.sweeps import _ablations, _lines, _traded, sweep_figures, swept_settings
from reports.tables import Table
from reports.text_tables import to_markdown
from tests.report_fixture import FixtureCatalogue, fabricate

ATTENTION = (0.25, 0.5, 0.75)
FEATURES = (0.0, 0.4, 0.8)
RECIPES = ("clip_text@world-tiny", "warp_error@exact", "dynamic_degree@dis")


class SweepCatalogue(FixtureCatalogue):
    """The fixture's, with a second swept setting."""

    def method(self, name: str) -> MethodCard:
        card = super().method(name)
        extra = Field("pnp_attn_t", "0.5", "", "") if name in ("pnp", "tokenflow") else None
        return MethodCard(
            card.name, fields=card.fields + ((extra,) if extra else ()), control=card.control
        )


CATALOGUE = SweepCatalogue()


def sweep(root: Path, baseline: object) -> Results:
    """A grid over pnp_f_t x pnp_attn_t in which text agreement costs steadiness."""
    fabricate(root, clips=12, seeds=1, frames=1, pictures=False, failures=False)
    path = root / "results" / "made.parquet"
    table = pd.read_parquet(path)
    table = table.drop(columns=[c for c in table if "@" in c and c not in RECIPES])
    swept = table["pnp_f_t"].notna()
    rng = np.random.default_rng(0)
    parts = [table[~swept]]
    for features in FEATURES:
        for attention in ATTENTION:
            part = table[swept & (table["pnp_f_t"] == 0.4)].copy()
            given = features + attention
            part["pnp_f_t"], part["pnp_attn_t"] = features, attention
            noise = rng.normal(0, 0.3, (2, len(part)))
            part["clip_text@world-tiny"] += -3 * given + noise[0]
            part["warp_error@exact"] += 8 / (1 + given) + noise[1]
            part["cell"] = [f"{c}{features}{attention}" for c in part["cell"]]
            parts.append(part)
    pd.concat(parts).to_parquet(path)
    spec = root / "experiments" / "made.yaml"
    content = yaml.safe_load(spec.read_text()) | {"report": {"baseline": baseline}}
    spec.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_results(
        "made", root, lambda name: CATALOGUE.method(name).control,
        lambda name: [field.name for field in CATALOGUE.method(name).fields],
    )  # fmt: skip


OWN = {"setting": {"pnp_f_t": 0.8, "pnp_attn_t": 0.5}}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Table]:
    results = sweep(tmp_path_factory.mktemp("sweep"), OWN)
    return results, leaderboard(results, CATALOGUE, "world")


def only(table: Table, *recipes: str) -> Table:
    """The table with a few of its columns."""
    keep = [i for i, column in enumerate(table.columns) if column.key in recipes]
    lines = tuple(replace(n, entries=tuple(n.entries[i] for i in keep)) for n in table.lines)
    return replace(table, columns=tuple(table.columns[i] for i in keep), lines=lines)


def test_each_swept_setting_has_curves_and_trade_offs(swept: tuple[Results, Table]) -> None:
    results, table = swept
    shown = sweep_figures(results, only(table, "clip_text@world-tiny", "warp_error@exact"))
    assert [figure.id for figure in shown] == [
        "ablation-pnp_f_t", "tradeoff-pnp_f_t", "ablation-pnp_attn_t", "tradeoff-pnp_attn_t",
    ]  # fmt: skip
    assert "from 0.25 (small marks) to 0.75" in shown[-1].caption


def test_a_line_holds_all_other_settings_fixed(swept: tuple[Results, Table]) -> None:
    results, table = swept
    lines = _lines(results, table, "pnp_f_t")
    assert len(lines) == 2 * len(ATTENTION)
    for line in lines:
        assert [x for x, _ in line.points] == list(FEATURES)
        assert len({dict(row.values)["pnp_attn_t"] for _, row in line.points}) == 1
    assert len({(line.colour, line.dash) for line in lines}) == len(lines)  # told apart


def test_lines_carry_the_table_s_means_and_bands(swept: tuple[Results, Table]) -> None:
    results, table = swept
    at = next(i for i, c in enumerate(table.columns) if c.key == "warp_error@exact")
    shown = {line.row.key: line.entries[at].estimate for line in table.lines}
    for line in _lines(results, table, "pnp_attn_t"):
        known = line.known(table, table.columns[at])
        assert [value for _, value in known] == [shown[row.key] for _, row in line.points]
        assert all(v.low < v.mean < v.high for _, v in known)
        means = [v.mean for _, v in known]
        assert means == sorted(means, reverse=True)  # as made: more injection, steadier


def test_bands_are_for_few_lines_and_many_are_a_figure_for_each_method(
    swept: tuple[Results, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, table = swept
    table = only(table, "clip_text@world-tiny")
    lines = _lines(results, table, "pnp_f_t")
    (few,) = _ablations(table, "pnp_f_t", lines[:2])
    assert "with 95 % bands" in few.caption
    monkeypatch.setattr("reports.sweeps.LINES", len(lines) - 1)
    monkeypatch.setattr("reports.sweeps.BANDS", 2)
    many = _ablations(table, "pnp_f_t", lines)
    assert [figure.id for figure in many] == ["ablation-pnp_f_t-pnp", "ablation-pnp_f_t-tokenflow"]
    assert all("intervals as a grey bar" in figure.caption for figure in many)


def test_two_settings_span_a_heat_map_per_method(swept: tuple[Results, Table]) -> None:
    results, table = swept
    grids = _grids(results, swept_settings(results))
    assert [(g.name, g.across, g.up) for g in grids] == [
        ("pnp", "pnp_attn_t", "pnp_f_t"), ("tokenflow", "pnp_attn_t", "pnp_f_t"),
    ]  # fmt: skip
    for grid in grids:
        assert (grid.values(0), grid.values(1)) == (list(ATTENTION), list(FEATURES))
        for (across, up), row in grid.rows.items():
            assert dict(row.values) == {"pnp_attn_t": across, "pnp_f_t": up}
    shown = heat_maps(results, only(table, "clip_text@world-tiny"))
    assert [figure.id for figure in shown] == ["heatmap-1", "heatmap-2"]
    assert "pnp: mean over clips" in shown[0].caption


def test_one_swept_setting_has_no_heat_map(tmp_path: Path) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=1, pictures=False)
    names = ["pnp_f_t"]
    results = load_results("made", tmp_path, lambda _: False, lambda _: names)
    assert _grids(results, swept_settings(results)) == []


def test_without_a_metric_of_the_text_nothing_is_traded(swept: tuple[Results, Table]) -> None:
    _, table = swept
    across, up = _traded(table)
    assert (across.key, [c.key for c in up]) == ("clip_text@world-tiny", ["warp_error@exact"])
    assert _traded(only(table, "warp_error@exact"))[0] is None


def test_differences_are_paired_by_clip_and_tested_together(swept: tuple[Results, Table]) -> None:
    """Against metrics.statistics on per-clip means, for a setting of the same method."""
    results, _ = swept
    (table,) = difference_tables(results, CATALOGUE)
    keys = [line.row.key for line in table.lines]
    own = {f"{m}[pnp_f_t=0.8,pnp_attn_t=0.5]" for m in ("pnp", "tokenflow")}
    assert set(keys) == {r.key for r in results.rows if r.title in ("pnp", "tokenflow")} - own
    assert [column.key for column in table.columns] == list(RECIPES[:2])  # what has a direction
    expected = {}
    for key in keys:
        method = key.partition("[")[0]
        base = f"{method}[pnp_f_t=0.8,pnp_attn_t=0.5]"
        for column in table.columns:
            means = []
            for name in (key, base):
                lines = results.ok[results.ok["row"] == name]
                means.append(dict(zip(sorted(set(lines["clip"])), by_clip(lines, column.key),
                                      strict=True)))  # fmt: skip
            expected[key, column.key] = paired_difference(*means, np.random.default_rng(0))
    adjusted = dict(zip(expected, holm([e.p for e in expected.values()]), strict=True))
    for line in table.lines:
        for column, entry in zip(table.columns, line.entries, strict=True):
            paired = expected[line.row.key, column.key]
            assert entry.estimate.mean == pytest.approx(paired.difference.mean)
            assert entry.estimate.low == pytest.approx(paired.difference.low, abs=1e-3)
            p = adjusted[line.row.key, column.key]
            told = float(re.search(r"p = ([0-9.e-]+)", entry.interval).group(1))
            assert told == pytest.approx(p, rel=0.06)
            gain = paired.difference.mean * (1 if column.arrow == "↑" else -1) > 0
            assert entry.rank == ("best" if gain and p < 0.05 else "")
    assert {entry.rank for line in table.lines for entry in line.entries} == {"best", ""}
    assert "out of reach" not in table.caption
    assert "minus the row of the same label with pnp_f_t = 0.8, pnp_attn_t = 0.5" in table.caption


def test_one_row_may_be_everybody_s_baseline(tmp_path: Path) -> None:
    results = sweep(tmp_path, "sdedit")
    (table,) = difference_tables(results, CATALOGUE)
    assert len(table.lines) == 2 * len(FEATURES) * len(ATTENTION)
    at = next(i for i, c in enumerate(table.columns) if c.key == "clip_text@world-tiny")
    for line in table.lines:
        entry = line.entries[at]
        assert entry.text[0] == ("+" if entry.estimate.mean > 0 else "−")
    assert "Each row minus sdedit, " in table.caption
    assert "p = " in to_markdown(table)


def test_six_clips_cannot_tell_many_rows_apart(tmp_path: Path) -> None:
    """The least p of a sign-flip test is 2 in 2^6; the caption says that nothing can be bold."""
    results = sweep(tmp_path, OWN)
    few = [f"clip-{n:02d}" for n in range(6)]
    fewer = replace(results, table=results.table[results.table["clip"].isin(few)])
    (table,) = difference_tables(fewer, CATALOGUE)
    assert "out of reach with 6 clips and 32 comparisons" in table.caption


def test_no_baseline_no_table(tmp_path: Path) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=1, pictures=False)
    results = load_results("made", tmp_path, lambda _: False, lambda _: [])
    assert difference_tables(results, CATALOGUE) == []
