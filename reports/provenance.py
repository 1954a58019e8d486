"""Where a report's numbers come from: code, data, weights, versions, hardware, commands."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from data.digest import sha256_file
from experiments.atomic import SEAL, canonical
from experiments.checkout import read_checkout
from experiments.provenance import lock_digest
from reports.cards import Catalogue
from reports.results import Results
from reports.version import Version

PACKAGES = (
    "torch", "diffusers", "transformers", "open-clip-torch", "lpips", "numpy", "scipy", "pandas",
    "opencv-python-headless", "scikit-image", "snakemake", "dvc", "matplotlib", "jinja2",
)  # fmt: skip
MOST = 6  # values of one entry that are listed


def gather(results: Results, catalogue: Catalogue, version: Version) -> dict[str, Any]:
    """Everything provenance.json holds; nothing in it depends on when the report is rendered."""
    table = results.table
    clips = sorted({(str(d), str(c)) for d, c in zip(table["dataset"], table["clip"], strict=True)})
    backbones = sorted({str(name) for name in table["backbone"].dropna() if name})
    spec = results.root / "experiments" / f"{results.experiment}.yaml"
    checkout = read_checkout(results.root)
    return {
        "experiment": results.experiment,
        "commands": [
            f"snakemake -j N {results.experiment}",
            f"python -m reports render {results.experiment}",
            f"python -m reports verify {results.experiment}/{version.name}",
        ],
        "code": {"commit": version.commit, "dirty": version.dirty},
        "revision": checkout.commit if checkout else "",
        "changed": list(checkout.changed) if checkout else [],
        "lock": lock_digest(),
        "results_digest": version.results,
        "experiment_digest": hashlib.sha256(spec.read_bytes()).hexdigest()[:16],
        "requests": len(table),
        "cells": int(table["cell"].nunique()),
        "backbones": {name: catalogue.backbone_digest(name) for name in backbones},
        "clips": {f"{d}/{c}": catalogue.clip_digest(d, c) for d, c in clips},
        "seeds": sorted({int(seed) for seed in table["seed"].dropna()}),
        "metrics": {
            recipe: {"version": card.version, "extractor": card.digest}
            for recipe, card in ((name, catalogue.metric(name)) for name in results.recipes)
        },
        "rendered_with": {"python": platform.python_version(), "packages": _versions()},
        "runs": _runs(results),
        "frames": _frames(results),
    }


def sealed(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A record with the digest of every file that git keeps of a report, and then of itself."""
    kept = (path for path in folder.rglob("*") if path.suffix not in (".html", ".webp"))
    paths = sorted(path for path in kept if path.is_file())
    files = {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}
    whole = record | {"files": files}
    return whole | {SEAL: hashlib.sha256(canonical(whole)).hexdigest()}


def _frames(results: Results) -> dict[str, str]:
    """Digest of the frames of every cell that has some."""
    digests = ((c, results.run(c).get("frames_sha256")) for c in sorted(set(results.ok["cell"])))
    return {cell: digest for cell, digest in digests if digest}


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _runs(results: Results) -> dict[str, dict[str, int]]:
    """Each provenance entry of the run records: its distinct values and how many cells have them.

    More than one value of an entry means that the numbers were not all made alike.
    """
    counts: dict[str, dict[str, int]] = {}
    for cell in sorted(set(results.table["cell"].dropna())):
        run = results.run(cell)
        entries = dict(_flatten(run.get("provenance", {})))
        hardware = run.get("cost", {}).get("hardware_id")
        if hardware is not None:
            entries["hardware_id"] = str(hardware)
        for key, value in entries.items():
            seen = counts.setdefault(key, {})
            seen[value] = seen.get(value, 0) + 1
    ordered = {}
    for key, values in sorted(counts.items()):
        ranked = sorted(values.items(), key=lambda item: (-item[1], item[0]))
        rest = ranked[MOST:]
        ordered[key] = dict(ranked[:MOST])
        if rest:
            ordered[key][f"{len(rest)} other values"] = sum(count for _, count in rest)
    return ordered


def _flatten(value: object, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix, value if isinstance(value, str) else json.dumps(value))]
    pairs = []
    for key, inner in value.items():
        pairs += _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return pairs
