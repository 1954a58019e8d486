"""A set's number: from each cell's share, through the store, to the table of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.collect import table
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.score import batches, fingerprints, run_batch
from experiments.seed_sets import with_sets_of_seeds
from experiments.shares import packed, unpacked
from experiments.store import Store
from metrics.base import Sample
from metrics.sets import SEEDS, Member, SetMetric, SetScore, Share
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment


class Brightest(SetMetric):
    """The brightest of a request's images; a ring has none."""

    name, extractors, extent = "brightest", ("pixels",), SEEDS
    higher_is_better = True
    range = (0.0, 255.0)
    citation = "none"

    def share(self, sample: Sample) -> Share | str:
        if sample.clip.id == "ring":
            return "a ring is not asked"
        return Share(np.array([[sample.frames.mean()]], np.float32))

    def combine(self, members: Sequence[Member]) -> SetScore:
        if not members:
            return SetScore(None, 0, "no image")
        return SetScore(max(float(m.share.samples.max()) for m in members), len(members))


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Store]:
    folder: Path = tmp_path_factory.mktemp("sets")
    known = fake_catalogue()
    catalogue = replace(
        known,
        recipes=(*known.recipes, "brightest@pixels"),
        metric=lambda name: (
            Brightest("pixels") if name == "brightest@pixels" else known.metric(name)
        ),
    )
    text = EXPERIMENT.replace("[mean@pixels]", "[mean@pixels, brightest@pixels]")
    plan = make_plan(write_experiment(folder, text), catalogue)
    store = Store(folder / "results")
    for shard in plan.shards:
        ShardRunner(plan, shard, store, catalogue).run()
    for batch in batches(plan, fingerprints(plan, catalogue), size=20):
        run_batch(batch, store, catalogue)
    return with_sets_of_seeds(table(plan, store), plan, store, catalogue), store


def test_a_request_s_seeds_have_one_number_between_them(collected) -> None:
    frame, store = collected
    blend = frame[(frame["label"] == "blend") & (frame["clip"] == "disc")]
    groups = blend.groupby(["share", "guidance", "edit"])
    assert len(groups) == 12
    for _, seeds in groups:
        expected = max(store.frames(cell).mean() for cell in seeds["cell"])
        assert seeds["brightest@pixels"].tolist() == pytest.approx([expected] * 2)


def test_what_gives_nothing_has_none_and_the_cell_says_why(collected) -> None:
    frame, store = collected
    ring = frame[frame["clip"] == "ring"]
    assert ring["brightest@pixels"].isna().all() and ring["mean@pixels"].notna().all()
    first = ring.iloc[0]
    stored = store.scores(first["cell"])[first["edit"]]["brightest@pixels"]
    assert stored["reason"] == "a ring is not asked" and "share" not in stored


def test_a_share_is_kept_to_the_last_digit() -> None:
    rng = np.random.default_rng(0)
    share = Share(rng.normal(size=(3, 5)).astype(np.float32), rng.random((2, 5), np.float32))
    again = unpacked(packed(share))
    assert (again.samples == share.samples).all() and (again.reference == share.reference).all()
    assert unpacked(packed(Share(share.samples))).reference is None
