"""Every page says where its numbers come from: commit and tree, data, weights, lock."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from experiments.provenance import lock_digest
from reports.origin import origin
from reports.render import render
from tests.report_fixture import FixtureCatalogue, fabricate


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered by hand from results in a clean checkout."""
    root = tmp_path_factory.mktemp("origin")
    fabricate(root, clips=1, seeds=1, frames=1, pictures=False)
    (root / ".gitignore").write_text("results/\nreports/\n")
    who = ["-c", "user.name=user", "-c", "user.email=user@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "All"]):
        subprocess.run(["git", "-C", root, *who, *command], check=True)
    return render("made", root, FixtureCatalogue())


@pytest.fixture
def record(report: Path) -> dict[str, Any]:
    return json.loads((report / "provenance.json").read_text())


def test_a_page_names_commit_tree_lock_data_and_weights(
    report: Path, record: dict[str, Any]
) -> None:
    says, page = dict(origin(record)), (report / "report.html").read_text()
    command = ["git", "-C", report, "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert says["Commit"] == head.strip()
    assert says["Tree"] == "clean: the commit is the code"
    assert says["Environment"] == f"requirements.lock {lock_digest()}"
    assert says["Weights of world-tiny"] == "5f" * 32
    assert says["Data"].endswith(f"({len(record['clips'])} clips; the digest of each stands below)")
    for text in (*says, *says.values(), *(d[:16] for d in record["clips"].values())):
        assert text in page
    assert f"python -m reports verify made/{report.name}" in page


def test_what_differs_from_the_commit_is_named(record: dict[str, Any]) -> None:
    changed = [f"methods/new-{number:02}.py" for number in range(12)]
    tree = dict(origin(record | {"changed": changed}))["Tree"].splitlines()
    assert tree == ["differs from the commit in", *changed[:10], "and 2 more"]


def test_without_a_commit_nothing_is_called_clean(record: dict[str, Any]) -> None:
    says = dict(origin(record | {"revision": "", "changed": []}))
    assert says["Commit"].startswith("none") and says["Tree"] == "unknown"


def test_other_data_have_another_digest(record: dict[str, Any]) -> None:
    clips = dict.fromkeys(record["clips"], "0" * 64)
    assert dict(origin(record | {"clips": clips}))["Data"] != dict(origin(record))["Data"]
