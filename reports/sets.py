"""Numbers of sets of cells in tables: one for all cells behind an entry, with its n."""

from __future__ import annotations

from functools import cache

from experiments.shares import unpacked
from metrics.sets import Member, SetScore
from reports.cards import Catalogue
from reports.estimates import Estimate
from reports.results import Results
from reports.rows import Part


class Sets:
    """The set scores of some results; each is computed once."""

    def __init__(self, results: Results, catalogue: Catalogue) -> None:
        self.results, self.catalogue = results, catalogue
        self.score = cache(self._score)

    def known(self, recipe: str) -> bool:
        """Whether a recipe's numbers are sets'."""
        return self.catalogue.set_metric(recipe) is not None

    def estimate(self, part: Part, recipe: str) -> Estimate | None:
        """The number as tables hold it: without an interval, ``n`` counting samples."""
        score = self.score(part, recipe)
        if score.value is None:
            return None
        return Estimate(score.value, None, None, score.n, (score.value,))

    def _score(self, part: Part, recipe: str) -> SetScore:
        members, reasons = [], []
        lines = part.of(self.results.ok)
        for line in lines[["cell", "clip", "edit", "seed"]].to_dict("records"):
            stored = self.results.scores(str(line["cell"]), line["edit"]).get(recipe, {})
            if "share" in stored:
                share = unpacked(stored["share"])
                members.append(Member(line["clip"], line["edit"], int(line["seed"]), share))
            else:
                reasons.append(stored.get("reason") or "no score recorded")
        if not members and reasons:
            return SetScore(None, 0, reasons[0])
        return self.catalogue.set_metric(recipe).combine(members)
