"""Imports go one way: data, methods and metrics, experiments, reports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "data": set(),
    "methods": {"data"},
    "metrics": {"data"},
    "models": {"data", "methods", "metrics"},
    "experiments": {"data", "methods", "metrics"},
    "bench": {"data", "methods", "metrics", "experiments"},
    "reports": {"data", "methods", "metrics", "experiments", "models"},
}
FOLDERS = {*MAY_IMPORT, "tests"}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import and ``lazy_import``, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            yield node.lineno, str(node.module).split(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_import":
            yield node.lineno, ast.literal_eval(node.args[0]).split(".")[0]


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folder_imports_only_what_lies_below_it(folder: str) -> None:
    allowed = MAY_IMPORT[folder] | {folder}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, name in imported(path)
        if name in FOLDERS - allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("module", ["experiments.command_line", "experiments.snake"])
def test_planning_loads_no_torch(module: str) -> None:
    """Neither at import nor when methods, datasets and backbones are listed."""
    import subprocess
    import sys

    code = (
        f"import sys, {module}; from methods.registry import method_names, get_method;"
        "[get_method(n).plan(get_method(n).Setting(), 8) for n in method_names()];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
