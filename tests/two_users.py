"""Two users with a clone each of one small project, and a remote that both reach.

The project holds an experiment on toys; everything else is this project's own code. Cells are made
by the engine with the fake catalogue, in this process; git and DVC are the real ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from experiments.atomic import read_sealed, write_sealed
from experiments.code_digest import PROJECT
from experiments.command_line import main
from experiments.planner import Plan, make_plan
from experiments.runner import ShardRunner
from experiments.score import run_batch
from experiments.shown import show
from experiments.store import Store
from experiments.targets import Targets, targets_of
from reports.cards import Catalogue, MetricCard
from reports.provenance import gather, sealed
from reports.results import load_results
from reports.version import identify, point_latest
from reports.write_tables import cells_csv
from tests.fake_clips import FakeDataset
from tests.fake_methods import BlendSetting
from tests.fakes import fake_catalogue

TOY = """\
title: Toys
backbones: [toy]
clips:
  - {dataset: toys, ids: [disc]}
methods:
  - name: same
  - name: blend
    setting: {n_timesteps: 6}
    grid: {share: [0.5], guidance: [1.0, 3.0]}
metrics: [mean@pixels]
"""
MORE = TOY.replace("[1.0, 3.0]", "[1.0, 2.0, 3.0]")  # one more setting: two cells, one per edit
SAME = "same".__eq__
SETTINGS = {"blend": list(BlendSetting.model_fields), "same": []}.__getitem__


class ToyCards(Catalogue):
    """What the fake catalogue's things say of themselves."""

    def metric(self, recipe: str) -> MetricCard:
        return MetricCard(recipe, version="1")

    def clip_digest(self, dataset: str, clip: str) -> str:
        return FakeDataset().summary(clip).digest

    def backbone_digest(self, name: str) -> str:
        return fake_catalogue().backbone(name).digest


@dataclass(frozen=True)
class User:
    """One clone."""

    root: Path

    @property
    def store(self) -> Store:
        return Store(self.root / "results")

    @property
    def plan(self) -> Plan:
        return make_plan(self.root / "experiments" / "toy.yaml", fake_catalogue())

    @property
    def targets(self) -> Targets:
        return targets_of(self.plan, self.store, fake_catalogue())

    def says(self, *arguments: str) -> int:
        """Run ``python -m experiments`` with the fake catalogue; its exit status."""
        folders = ["--folder", str(self.root / "experiments"), "--results", str(self.store.root)]
        return main([*folders, *arguments], fake_catalogue())

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=user", "-c", "user.email=user@example.org"]
        command = ["git", "-C", str(self.root), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def dvc(self, *arguments: str, check: bool = True) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        run = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=check)
        return run.stdout

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", "HEAD")

    def edit(self, text: str) -> None:
        """Change the experiment and commit it."""
        (self.root / "experiments" / "toy.yaml").write_text(text)
        self.commit("Change the experiment")

    def run(self) -> int:
        """Run the experiment to its report; the network evaluations that it took."""
        plan, store, catalogue = self.plan, self.store, fake_catalogue()
        self.targets.drop_stale()
        ran = sum(ShardRunner(plan, s, store, catalogue).run().evaluations for s in plan.shards)
        for batch in self.targets.batches:
            run_batch(batch, store, catalogue)
        assert self.says("collect", "toy") == 0
        self._render()
        assert self.says("verdict", "toy") == 0
        return ran

    def _render(self) -> None:
        """A report without page and figures, which would need the project's own datasets."""
        results = load_results("toy", self.root, is_control=SAME, setting_names=SETTINGS)
        version = identify(self.root, results)
        folder = self.root / "reports" / "toy" / version.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cells.csv").write_text(cells_csv(results))
        means = results.ok.groupby("row", sort=False)["mean@pixels"].mean()
        rows = {row: {"mean@pixels": {"mean": mean}, "failed": 0} for row, mean in means.items()}
        for row in rows.keys() - {"same"}:  # as a gain over the source, which that one has not
            rows[row]["gain@pixels"] = {"mean": means[row] - means["same"]}
        (folder / "metrics.json").write_text(json.dumps(rows))
        record = sealed(gather(results, ToyCards(), version), folder)
        (folder / "provenance.json").write_text(json.dumps(record))
        (folder / "report.html").write_text(f"<p>{version.name}</p>")
        point_latest(folder)
        page = (folder / "report.html").relative_to(self.root).as_posix()
        show(folder / "report.html", self.targets.rendered())
        write_sealed(self.targets.rendered(), {"report": page})

    @property
    def report(self) -> Path:
        """The folder of the last report."""
        record = read_sealed(self.targets.rendered())
        return (self.root / record["report"]).parent

    def nothing_to_do(self) -> bool:
        """What ``snakemake -n`` asks: whether report and verdict stand on what is in the store."""
        targets = self.targets
        targets.drop_stale()
        return all(path.exists() for path in (targets.rendered(), targets.verdict()))

    def files(self, *below: str) -> dict[str, bytes]:
        """Every file below some folders of the project, by path."""
        found = (path for folder in below for path in (self.root / folder).rglob("*"))
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in found
            if path.is_file() and not {"locks", "seen.json"} & set(path.parts)
        }


def make_project(folder: Path, remote: str = "") -> User:
    """A project under git and DVC, pushed to ``origin.git``; the first user's clone."""
    os.environ["DVC_SITE_CACHE_DIR"] = str(folder / "site-cache")
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder / "origin.git")], check=True)
    first = join(folder, "first")
    for path in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore"):
        (first.root / path).parent.mkdir(exist_ok=True)
        (first.root / path).write_text((PROJECT / path).read_text())
    if remote:
        config = first.root / ".dvc" / "config"
        named = config.read_text().replace("[core]", "[core]\n    remote = storage")
        config.write_text(f"{named}['remote \"storage\"']\n    url = {remote}\n")
    (first.root / "experiments").mkdir()
    first.edit(TOY)
    return first


def join(folder: Path, name: str) -> User:
    """Another user's clone."""
    clone = ["git", "clone", "--quiet", str(folder / "origin.git"), str(folder / name)]
    subprocess.run(clone, check=True, capture_output=True)
    return User(folder / name)
