"""What sharing saved, shard by shard, as the report shows it."""

from __future__ import annotations

from pathlib import Path

from experiments.atomic import write_sealed
from reports.results import load_results
from reports.sharing import savings
from reports.templating import environment
from tests.report_fixture import fabricate


def manifest(root: Path, name: str, cells: list[str], run: int, alone: int) -> None:
    cost = {"evaluations": run, "evaluations_alone": alone, "seconds": 2.0, "seconds_load": 1.0}
    cost |= {"seconds_warmup": 0.25, "seconds_total": 4.0}
    path = root / "results" / "shards" / f"{name}.json"
    record = {"shard": name, "cells": dict.fromkeys(cells, "ok"), "ran": len(cells), "cost": cost}
    write_sealed(path, record)


def test_shards_of_this_table_are_listed_with_what_they_saved(tmp_path: Path) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=1, pictures=False)
    results = load_results("made", tmp_path, lambda _: False, lambda _: [])
    first, second, *_ = results.table["cell"].unique()
    manifest(tmp_path, "a" * 16, [first], 30, 120)
    manifest(tmp_path, "b" * 16, [first, second], 900, 1000)
    manifest(tmp_path, "c" * 16, ["of another experiment"], 1, 2)
    manifest(tmp_path, "d" * 16, [second], 0, 0)  # found everything done
    (tmp_path / "results" / "shards" / ("e" * 16 + ".json")).write_text("torn")
    found = savings(results)
    assert [(s.shard[0], s.saved) for s in found] == [("b", 1 - 900 / 1000), ("a", 0.75)]

    source = '{% import "parts.html" as parts %}{{ parts.savings(savings) }}'
    text = environment().from_string(source).render(savings=found)
    assert "930 network evaluations instead of 1,120: 17 % saved, in 2 shards" in text
    assert text.count("<tr>") == 3 and text.count("<td") == text.count("<th scope") * 2
