"""What an edit of the code, a touch or a clone invalidates: exactly what it can alter."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from experiments.catalogue import project_catalogue
from experiments.code_digest import forget
from experiments.planner import Plan, make_plan
from experiments.shard_command import loaded_as_planned
from experiments.store import Store
from experiments.targets import targets_of
from methods.backbones.locate import CONFIGS, TOKENIZER, WEIGHTS

ROOT = Path(__file__).resolve().parent.parent
CODE = ("data", "methods", "metrics", "experiments", "reports")

EXPERIMENT = """\
title: One cell of each
backbones: [{backbone}]
clips:
  - dataset: world
    first: 1
    edits: [colour]
    frames: 2
methods:
  - name: source
  - name: oracle
  - name: reconstruct
  - name: sdedit
  - name: pnp
  - name: tokenflow
metrics: [psnr@source, warp_error@exact]
"""


def paper_backbone(folder: Path) -> Path:
    """A backbone that can be planned with but not run: right names, empty weights."""
    configs = {
        "unet/config.json": {"sample_size": 16},
        "vae/config.json": {"block_out_channels": [8, 8, 16]},
        "text_encoder/config.json": {},
        "scheduler/scheduler_config.json": {"num_train_timesteps": 1000, "steps_offset": 1},
    }
    assert set(configs) == set(CONFIGS)
    for name in (*WEIGHTS, *CONFIGS):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(configs.get(name, "")))
    (folder / TOKENIZER).mkdir()
    return folder


class Project:
    """A copy of the code, an experiment, and a store in which all its cells have been run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.catalogue = folder, project_catalogue()
        for part in CODE:
            ignored = shutil.ignore_patterns("__pycache__", "prepared", "quickstart")
            shutil.copytree(ROOT / part, folder / part, ignore=ignored, symlinks=True)
        shutil.copy(ROOT / "pyproject.toml", folder)
        backbone = paper_backbone(folder / "backbone")
        self.path = folder / "each.yaml"
        self.path.write_text(EXPERIMENT.format(backbone=backbone))
        self.store = Store(folder / "results")
        frames = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3), dtype=np.uint8)
        for cell in self.plan().cells:
            self.store.write_frames(cell, frames, {})

    def plan(self) -> Plan:
        """As a new process would see it."""
        forget()
        return make_plan(self.path, self.catalogue, project=self.folder)

    def names(self) -> tuple[str, str]:
        """What the manifests of table and report are named by."""
        found = targets_of(self.plan(), self.store, self.catalogue, project=self.folder)
        return found.id, found.look

    def to_run(self) -> set[str]:
        """Methods whose cells are not valid any more."""
        cells = self.plan().cells.values()
        return {cell.method.name for cell in cells if not self.store.settled(cell.id)}

    def edit(self, file: str, before: str, after: str) -> None:
        """Change one place of a file."""
        text = (self.folder / file).read_text()
        assert text.count(before) == 1, f"{file} has {before!r} {text.count(before)} times"
        (self.folder / file).write_text(text.replace(before, after))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield Project(tmp_path)
    forget()


def test_nothing_is_run_again_after_touching_every_file(project: Project) -> None:
    names = project.names()
    for path in project.folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))
    assert project.to_run() == set()
    assert project.names() == names


def test_nothing_is_run_again_in_a_clone_with_the_results(project: Project, tmp_path: Path) -> None:
    """Wherever it lies: no path, no time and no memory of Snakemake's is in an id."""
    names = project.names()
    clone = tmp_path / "elsewhere" / "clone"
    shutil.copytree(tmp_path, clone, ignore=shutil.ignore_patterns("elsewhere"))
    project.folder, project.store = clone, Store(clone / "results")
    assert project.to_run() == set()
    assert project.names() == names


def test_nothing_is_run_again_after_editing_comments(project: Project) -> None:
    """In every file: a comment above, a docstring, and blank lines below."""
    names = project.names()
    edited = 0
    for part in CODE:
        for path in (project.folder / part).rglob("*.py"):
            text = path.read_text()
            with_docstring = text.replace('"""', '"""Also: ', 1)
            path.write_text(f"# A remark.\n\n{with_docstring}\n\n# The end.\n")
            edited += 1
    assert edited > 60
    assert project.to_run() == set()
    assert project.names() == names


@pytest.mark.parametrize(
    ("file", "before", "after", "methods"),
    [
        ("methods/sdedit.py", "int(n * setting.strength)", "round(n * setting.strength)", "sdedit"),
        ("methods/tokenflow.py", "-(-n_frames // setting.batch_size)", "n_frames", "tokenflow"),
        ("methods/pnp.py", "k < int(n * setting.pnp_f_t)", "k <= int(n * setting.pnp_f_t)", "pnp"),
        ("methods/oracle.py", "return ctx.edit.oracle", "return ctx.edit.oracle[:]", "oracle"),
        (
            "methods/inversion.py",
            "x = move(x, noise,",
            "x = move(x, 0.99 * noise,",
            "pnp tokenflow reconstruct",
        ),
        ("metrics/warp_error.py", "import numpy as np", "import numpy as np\nx = 1", ""),
        ("experiments/walk.py", "level = following", "level = list(following)", ""),
    ],
)  # fmt: skip
def test_one_changed_line_invalidates_what_uses_it(
    file: str, before: str, after: str, methods: str, project: Project
) -> None:
    project.edit(file, before, after)
    assert project.to_run() == set(methods.split())


def test_a_metric_s_code_is_in_the_table_s_name_and_in_no_cell_s(project: Project) -> None:
    table, _ = project.names()
    project.edit("metrics/warp_error.py", "import numpy as np", "import numpy as np\nx = 1")
    assert project.names()[0] != table
    assert project.to_run() == set()


def test_code_that_changed_after_planning_is_not_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise frames of the new code would be kept under the name of the old."""
    monkeypatch.setattr("importlib.import_module", lambda name: None)  # torch's weight apart
    shard = next(s for s in project.plan().shards if any(c.backbone for c in s.cells))
    assert loaded_as_planned(shard.cells, project.catalogue, project.folder)
    project.edit(
        "methods/ddim.py", "return alpha**0.5 * clean + (1", "return 1.0 * alpha**0.5 * clean + (1"
    )
    assert not loaded_as_planned(shard.cells, project.catalogue, project.folder)
