"""A digest of the code that can change a method's frames; comments and docstrings do not count.

The digest covers the syntax trees of the given modules and of everything in the project that they
import, at the top, inside functions, or through ``lazy_import("…")``. Imports for type checkers
and the descriptions of settings are left out: neither can change a frame.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NEVER_FOLLOWED = ("metrics", "reports", "experiments", "tests")  # they cannot change a frame
DYNAMIC_IMPORTS = ("lazy_import", "import_module")


def code_digest(
    modules: Iterable[str], project: Path = PROJECT, follow_into: tuple[str, ...] = ()
) -> str:
    """Hex digest of the modules and of all in-project modules they use.

    ``follow_into`` names packages to follow that cannot change a frame: metrics, for scores.
    Raises FileNotFoundError when a module named here is not in the project.
    """
    return _code_digest(tuple(modules), project, follow_into)


def modules_used(
    modules: Iterable[str], project: Path = PROJECT, follow_into: tuple[str, ...] = ()
) -> dict[str, Path]:
    """Name and file of the modules and of everything in the project that they import."""
    left_out = set(NEVER_FOLLOWED) - set(follow_into)
    found: dict[str, Path] = {}
    queue = list(modules)
    for name in queue:
        if _file(name, project) is None:
            raise FileNotFoundError(f"no module '{name}' in {project}")
    while queue:
        name = queue.pop()
        path = _file(name, project)
        if name in found or path is None:
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        parents = [name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1)]
        for used in [*parents, *_imports(_tree(path, _stamp(path)), package)]:
            if used.split(".")[0] not in left_out:
                queue.append(used)
    return found


@lru_cache(maxsize=256)
def _code_digest(modules: tuple[str, ...], project: Path, follow_into: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(modules_used(modules, project, follow_into).items()):
        digest.update(f"{name}\n{_normalised(path, _stamp(path))}\n".encode())
    return digest.hexdigest()


def forget() -> None:
    """Read the code anew at the next call (for processes that outlive an edit)."""
    _code_digest.cache_clear()


def _file(module: str, project: Path) -> Path | None:
    base = project.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1024)
def _tree(path: Path, stamp: tuple[int, int]) -> ast.Module:
    return _Strip().visit(ast.parse(path.read_text(encoding="utf-8")))


@lru_cache(maxsize=1024)
def _normalised(path: Path, stamp: tuple[int, int]) -> str:
    return ast.dump(_tree(path, stamp))


class _Strip(ast.NodeTransformer):
    """Remove what cannot change a result."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None  # a docstring, or a bare string that does nothing
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return [self.visit(child) for child in node.orelse] or None
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if ast.unparse(node.func).split(".")[-1] == "Field":
            node.keywords = [k for k in node.keywords if k.arg not in ("description", "title")]
        return node


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module name an import in the tree may stand for, submodules included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - (node.level - 1)]
            parts = (above if node.level else []) + ([node.module] if node.module else [])
            base = ".".join(parts)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).split(".")[-1] in DYNAMIC_IMPORTS
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)
