"""A report's parts for Snakemake's own report: the page, and folders of its tables and figures.

They lie beside the record that names the report, for Snakemake wants to see outputs of a rule.
"""

from __future__ import annotations

import shutil
from pathlib import Path

PARTS = {"tables": "*.html", "figures": "*.svg"}


def show(page: Path, record: Path) -> None:
    """Copy a rendered page, its tables and its figures beside its record."""
    record.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(page, record.with_suffix(".html"))
    for part, pattern in PARTS.items():
        folder = record.with_name(f"{record.stem}-{part}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path in sorted((page.parent / part).glob(pattern)):
            shutil.copyfile(path, folder / path.name)
