"""Download extractors' published weights: ``make extractors EXTRACTORS="lpips-alex raft-large"``.

Without names all of them are fetched, ten gigabytes; with ``--list`` they are listed.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pkgutil import iter_modules

import metrics.nets
from data.command_line import end
from data.digest import sha256_file
from data.errors import UserError, unknown
from metrics.nets import files
from metrics.nets.files import Extractor


def extractors() -> dict[str, Extractor]:
    """Every declared extractor: a module's ``EXTRACTOR``, or all of its ``EXTRACTORS``."""
    found: list[Extractor] = []
    for info in iter_modules(metrics.nets.__path__):
        module = import_module(f"metrics.nets.{info.name}")
        found += getattr(module, "EXTRACTORS", {}).values()
        found += [module.EXTRACTOR] if hasattr(module, "EXTRACTOR") else []
    return {extractor.name: extractor for extractor in sorted(found, key=lambda e: e.name)}


def fetch(extractor: Extractor) -> None:
    """Put what is missing into ``models/weights/extractors`` and check it.

    UserError where a file cannot be had or is not the published one.
    """
    for file in extractor.files:
        if file.found() is not None:
            continue
        to = files.FOLDER / file.path
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.fetch(to)
        except (OSError, RuntimeError) as error:  # torch.hub raises the latter for a bad checksum
            raise UserError(
                f"could not fetch {extractor.name} from {file.origin}: {error}"
            ) from error
    problem = extractor.problem()
    if problem:
        raise UserError(problem)
    _record(extractor)


def _record(extractor: Extractor) -> None:
    """Remember the checksums of files that were published without one."""
    known = files.recorded()
    new = {
        file.path: sha256_file(file.found())
        for file in extractor.files
        if not file.sha256 and file.path not in known
    }
    if new:
        path = files.FOLDER / files.RECORD
        scratch = path.with_suffix(".tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(known | new, indent=1, sort_keys=True), encoding="utf-8")
        scratch.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Command line: names of extractors; the exit status is 1 where one could not be had."""
    known = extractors()
    parser = argparse.ArgumentParser(prog="python -m metrics.nets.fetch", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(known)}")
    parser.add_argument("--list", action="store_true", help="say what there is and what is here")
    asked = parser.parse_args(arguments)
    failed = False
    for name in asked.names or known:
        try:
            if name not in known:
                raise unknown("extractor", name, known)
            extractor = known[name]
            if not asked.list:
                fetch(extractor)
            state = "missing" if extractor.problem() else "here"
            print(f"{name:24} {state:8} {extractor.megabytes:5} MB  {extractor.licence}")
        except UserError as error:
            print(error, file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    end(main)
