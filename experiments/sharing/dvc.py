"""DVC, as sharing uses it: pointers to packs, pushed and pulled. It never runs anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from experiments.atomic import DiskFull

HOW = (
    "Name one with `python -m dvc remote add --default storage <where>`: a folder that all can "
    "reach, or ssh://user@host/folder."
)


@dataclass(frozen=True)
class Remote:
    """Where packs are pushed to."""

    name: str
    url: str
    folder: Path | None  # where it is a folder of this machine

    def __str__(self) -> str:
        return f"'{self.name}' ({self.url})"


class Dvc:
    """DVC in one project folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not (root / ".dvc").is_dir():
            raise UserError(
                f"{root} is not under DVC: run `python -m dvc init` in it, next to `git init`."
            )

    def remote(self) -> Remote:
        """The default remote. Raises UserError where there is none."""
        known = dict(
            line.partition("=")[::2] for line in self._run("config", "--list").stdout.splitlines()
        )
        name = known.get("core.remote", "")
        if not name:
            raise UserError(f"no DVC remote is configured, so there is nowhere to share. {HOW}")
        url = known.get(f"remote.{name}.url", "")
        if not url:
            raise UserError(f"DVC's default remote '{name}' has no address. {HOW}")
        local = None if "://" in url else (self.root / ".dvc" / url).resolve()
        return Remote(name, url, local)

    def add(self, paths: Iterable[Path]) -> None:
        """Take files or folders into the cache and write their pointers."""
        self._run("add", *self._relative(paths))

    def push(self, pointers: Iterable[Path], remote: Remote) -> None:
        """Send what pointers point to; what the remote has is not sent again."""
        folder = remote.folder
        # DVC would make the folder, and with it a second store where a disk is not mounted.
        if folder and not folder.is_dir() and not folder.parent.is_dir():
            raise UserError(
                f"remote {remote}: {folder.parent} does not exist. Is the disk mounted? Nothing "
                "was shared; run the same command again."
            )
        self._run("push", *self._relative(pointers), at=remote)

    def pull(self, pointers: Iterable[Path], remote: Remote) -> None:
        """Fetch what pointers point to and put it in place."""
        if remote.folder and not remote.folder.is_dir():
            raise UserError(
                f"remote {remote}: no such folder. Is the disk mounted? If the results lie "
                f"elsewhere: `python -m dvc remote modify --local {remote.name} url <where>`."
            )
        self._run("pull", *self._relative(pointers), at=remote)

    def cached(self, pointer: Path) -> Path:
        """Where the cache keeps what a pointer points to."""
        import yaml

        md5 = str(yaml.safe_load(pointer.read_text(encoding="utf-8"))["outs"][0]["md5"])
        folder = Path(self._run("cache", "dir").stdout.strip())
        return self.root / folder / "files" / "md5" / md5[:2] / md5[2:]

    def _relative(self, paths: Iterable[Path]) -> list[str]:
        return [path.relative_to(self.root).as_posix() for path in paths]

    def _run(self, *arguments: str, at: Remote | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command. Raises UserError with DVC's own words where it fails."""
        command = [sys.executable, "-m", "dvc", *arguments]
        run = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if run.returncode:
            raise _error(arguments[0], run.stderr or run.stdout, at)
        return run


def _error(verb: str, said: str, remote: Remote | None) -> UserError:
    """What went wrong, without DVC's pleasantries, and what to do."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    told = told or lines[-1:] or ["no reason given"]
    if "No space left" in said:
        place = f"remote {remote} or this machine's cache" if remote else ".dvc/cache"
        return DiskFull(
            f"dvc {verb}: the disk of {place} is full. Free some space and run the same command "
            "again; what was done so far is kept."
        )
    where = f" with remote {remote}" if remote else ""
    hint = (
        " Is it reachable, and may you write there? Nothing is lost: run the same command again."
        if remote
        else ""
    )
    return UserError(f"dvc {verb}{where} failed: {' / '.join(told)}.{hint}")
