"""``python -m reports.shown <rendered.json>``: a report's parts for Snakemake's own report.

Beside the record that names a rendered report: the page, and folders of its tables and figures.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from experiments.atomic import read_sealed

PARTS = {"tables": "*.html", "figures": "*.svg"}


def show(record: Path) -> None:
    """Copy what the record names. Raises ValueError for a record that cannot be trusted."""
    found = read_sealed(record)
    if found is None:
        raise ValueError(f"{record} is not the record of a rendered report")
    page = Path(found["report"])
    shutil.copyfile(page, record.with_suffix(".html"))
    for part, pattern in PARTS.items():
        folder = record.with_name(f"{record.stem}-{part}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path in sorted((page.parent / part).glob(pattern)):
            shutil.copyfile(path, folder / path.name)


if __name__ == "__main__":
    show(Path(sys.argv[1]))
