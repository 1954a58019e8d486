"""What was verified before, so that asking what is to be done does not read every frame again.

A manifest whose cells were found intact is remembered by how their files look: size, times, inode.
Whoever alters, truncates or replaces a file changes one of these, and the cells are verified anew.
This decides only what Snakemake lists; before frames are scored or tabled their bytes are verified.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from experiments.atomic import DiskFull, digest, read_sealed, write_sealed

AGE = 2.0  # seconds: a younger file may change once more and look as it does


class Seen:
    """Manifests of one store that were verified, kept in ``results/seen.json``.

    Losing that file costs time alone.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / "seen.json"
        self.known: dict[str, str] = read_sealed(self.path) or {}
        self.fresh: dict[str, str] = {}

    def holds(self, manifest: Path, files: Iterable[Path], verify: Callable[[], bool]) -> bool:
        """Whether ``verify`` is true of the files, or was when they looked as they do now."""
        name, files = manifest.relative_to(self.root).as_posix(), list(files)
        look, age = _look(files)
        if self.known.get(name) == look:
            return True
        good = verify()
        if good and age > AGE and _look(files)[0] == look:
            self.fresh[name] = look
        return good

    def keep(self) -> None:
        """Write what was verified since; manifests that are gone are left out."""
        if not self.fresh:
            return
        known = self.known | self.fresh
        with contextlib.suppress(OSError, DiskFull):  # a store that can only be read
            write_sealed(self.path, {n: look for n, look in known.items() if self._is_there(n)})

    def _is_there(self, name: str) -> bool:
        return (self.root / name).is_file()


def _look(files: Iterable[Path]) -> tuple[str, float]:
    """A digest of what the file system says of files, and seconds since the last one changed."""
    told: list[list[int] | None] = []
    changed = 0.0
    for path in files:
        try:
            stat = path.stat()
        except FileNotFoundError:
            told.append(None)  # a cell that failed has no frames
        else:
            told.append([stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino])
            changed = max(changed, stat.st_mtime, stat.st_ctime)
    return digest(told), time.time() - changed
