"""Which scores are of this checkout's metrics."""

from __future__ import annotations

from functools import cache
from typing import Any

from data.errors import UserError
from experiments.catalogue import Catalogue
from experiments.score import fingerprint, mark_of
from experiments.sharing.merge import Current


def current_marks(catalogue: Catalogue) -> Current:
    """(run record, edit, recipe) → the mark that a score must carry; None where it is unknown."""

    @cache
    def print_of(recipe: str) -> str | None:
        try:
            return fingerprint(catalogue.metric(recipe))
        except UserError:
            return None

    @cache
    def edits(dataset: str, clip: str) -> dict[str, str]:
        try:
            return catalogue.dataset(dataset).summary(clip).edit_digests
        except UserError:
            return {}

    def mark(run: dict[str, Any], edit: str, recipe: str) -> str | None:
        known = print_of(recipe)
        of_edit = edits(run["names"]["dataset"], run["names"]["clip"]).get(edit) if edit else ""
        return None if known is None or of_edit is None else mark_of(known, of_edit)

    return mark
