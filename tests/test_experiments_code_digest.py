"""What code a cell's id stands for: arithmetic counts, words do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.code_digest import PROJECT, code_digest, forget, modules_used

FILES = {
    "methods/__init__.py": "",
    "methods/one.py": '''"""One."""
import numpy as np
from methods import helper
from methods.lazy import lazy_import
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from methods.typed import Thing

kernel = lazy_import("methods.kernel")


class One:
    """A method."""

    size: int = Field(3, description="how large")

    def step(self, x):
        """Advance."""
        from methods.late import shift  # only here

        return shift(x) * 2 + helper.add(x)
''',
    "methods/two.py": "from methods import helper\n",
    "methods/helper.py": "def add(x):\n    return x + 1\n",
    "methods/kernel.py": "from data.noise import noise\n",
    "methods/late.py": "import metrics.score\ndef shift(x):\n    return x - 1\n",
    "methods/lazy.py": "def lazy_import(name):\n    return name\n",
    "methods/typed.py": "class Thing:\n    pass\n",
    "methods/other.py": "x = 1\n",
    "data/__init__.py": "",
    "data/noise.py": "noise = 0.5\n",
    "metrics/__init__.py": "",
    "metrics/score.py": "x = 1\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def changes(project: Path, name: str, before: str, after: str, module: str = "methods.one") -> bool:
    """Whether an edit of a file changes a module's digest."""
    forget()
    old = code_digest([module], project)
    path = project / name
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    forget()
    return code_digest([module], project) != old


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("methods/one.py", '"""Advance."""', '"""Advance by one step, slowly."""'),
        ("methods/one.py", '        """Advance."""\n', ""),
        ("methods/one.py", '"""One."""', '"""Two."""'),
        ("methods/one.py", "# only here", "# here, and nowhere else"),
        ("methods/one.py", "shift(x) * 2", "(shift(x)  *  2)"),
        ("methods/one.py", "how large", "side in pixels"),
        ("methods/helper.py", "def add", "# adds\n\n\ndef add"),
        ("methods/typed.py", "pass", "x = 1"),
        ("methods/other.py", "1", "2"),
        ("metrics/score.py", "1", "2"),
    ],
)
def test_words_change_nothing(project: Path, name: str, before: str, after: str) -> None:
    assert not changes(project, name, before, after)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("methods/one.py", "* 2", "* 3"),
        ("methods/one.py", "Field(3", "Field(4"),
        ("methods/helper.py", "x + 1", "x + 2"),  # from methods import helper
        ("methods/late.py", "x - 1", "x - 2"),  # imported inside a function
        ("methods/kernel.py", "from", "y = 1\nfrom"),  # through lazy_import
        ("data/noise.py", "0.5", "0.6"),  # at two removes
        ("methods/__init__.py", "", "x = 1\n"),  # a package's own code runs too
    ],
)
def test_arithmetic_changes_the_digest(project: Path, name: str, before: str, after: str) -> None:
    assert changes(project, name, before, after)


def test_only_what_uses_the_code_is_touched(project: Path) -> None:
    assert not changes(project, "methods/late.py", "x - 1", "x - 9", module="methods.two")
    assert changes(project, "methods/helper.py", "x + 1", "x + 9", module="methods.two")


def test_timestamps_change_nothing(project: Path) -> None:
    before = code_digest(["methods.one"], project)
    for path in project.rglob("*.py"):
        path.touch()
    forget()
    assert code_digest(["methods.one"], project) == before


def test_absent_module_is_an_error(project: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"methods\.gone"):
        code_digest(["methods.gone"], project)


def test_the_project_s_own_methods() -> None:
    """TokenFlow's frames depend on attention control and sampling, not on metrics or reports."""
    used = modules_used(["methods.tokenflow"], PROJECT)
    assert {"methods.tokenflow", "methods.attention", "methods.sampling", "methods.base"} <= set(
        used
    )
    assert not [
        n for n in used if n.split(".")[0] in ("metrics", "reports", "experiments", "tests")
    ]
    assert "methods.sdedit" not in used
