"""What a page says of a report's origin: commit and tree, data, weights and lock, by digest."""

from __future__ import annotations

from typing import Any

from experiments.atomic import digest

MOST = 10  # changed files that are named


def origin(record: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, which) pairs from a report's provenance record, whoever rendered it and where."""
    clips = record["clips"]
    pairs = [
        ("Commit", record["revision"] or "none: no git checkout, or nothing committed yet"),
        ("Tree", _tree(record)),
        ("Environment", f"requirements.lock {record['lock'] or 'is missing'}"),
        ("Data", f"{digest(clips)} ({len(clips)} clips; the digest of each stands below)"),
    ]
    pairs += [(f"Weights of {name}", told) for name, told in record["backbones"].items()]
    pairs += [(f"Extractor {name}", told) for name, told in _extractors(record).items()]
    return [
        *pairs,
        ("Experiment", record["experiment_digest"]),
        ("Results", record["results_digest"]),
        ("Seeds", ", ".join(map(str, record["seeds"]))),
    ]


def _tree(record: dict[str, Any]) -> str:
    changed = record["changed"]
    if not record["revision"]:
        return "unknown"
    if not changed:
        return "clean: the commit is the code"
    rest = [f"and {len(changed) - MOST} more"] if len(changed) > MOST else []
    return "\n".join(["differs from the commit in", *changed[:MOST], *rest])


def _extractors(record: dict[str, Any]) -> dict[str, str]:
    """Digest of each network that scores were made with, by the name after a recipe's ``@``."""
    cards = ((recipe.partition("@")[2], card) for recipe, card in record["metrics"].items())
    return {name: card["extractor"] for name, card in cards if card["extractor"]}
