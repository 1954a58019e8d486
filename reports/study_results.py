"""Read the files that a study's raters filled in: win rates with intervals, and agreement."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.errors import UserError
from metrics.statistics import Interval, bootstrap_interval, clip_means, sign_flip_p

WORTH = {"left": 1.0, "tie": 0.5, "right": 0.0}  # to the left side


@dataclass(frozen=True)
class WinRate:
    """How often one row was preferred to another."""

    question: str
    row: str
    other: str
    rate: Interval  # over clips: raters and edits averaged within a clip, ties counting half
    p: float  # of no preference: two-sided sign-flip test over clips
    answers: int


def read_answers(folder: Path, files: Sequence[Path]) -> pd.DataFrame:
    """One line per answer: rater, question, pair, clip, edit, left, right, answer.

    Raises UserError for a file of another study, an unknown pair or answer, or a rater who comes
    twice.
    """
    key = _json(folder / "key.json")
    lines, raters = [], {}
    for path in files:
        filled = _json(path)
        if filled.get("study") != key["study"]:
            raise UserError(f"{path} belongs to study '{filled.get('study')}', not to this one.")
        rater = str(filled.get("rater") or path.stem)
        if rater in raters:
            raise UserError(f"{path} and {raters[rater]} are both by rater '{rater}'.")
        raters[rater] = path
        for pair, answers in filled.get("answers", {}).items():
            for question, answer in answers.items():
                if pair not in key["pairs"] or answer not in WORTH:
                    raise UserError(
                        f"{path}: '{pair}: {answer}' is no answer of this study. Allowed: "
                        f"{', '.join(WORTH)} for pair-001 to pair-{len(key['pairs']):03d}."
                    )
                about = key["pairs"][pair]
                sides = {side: about[side]["row"] for side in ("left", "right")}
                place = {"clip": f"{about['dataset']}/{about['clip']}", "edit": about["edit"]}
                lines.append(
                    {"rater": rater, "question": question, "pair": pair, "answer": answer}
                    | place
                    | sides
                )
    if not lines:
        raise UserError("the files hold no answer.")
    return pd.DataFrame(lines)


def win_rates(answers: pd.DataFrame) -> list[WinRate]:
    """Every couple of rows on every question, the preferred row first."""
    found = []
    for question, asked in answers.groupby("question", sort=False):
        rows = sorted({*asked["left"], *asked["right"]})
        for row, other in itertools.combinations(rows, 2):
            one = asked[(asked["left"] == row) & (asked["right"] == other)]
            two = asked[(asked["left"] == other) & (asked["right"] == row)]
            worth = [*one["answer"].map(WORTH), *(1 - two["answer"].map(WORTH))]
            if not worth:
                continue
            both = pd.concat([one, two])
            clips = list(clip_means(worth, both["clip"], both["edit"]).values())
            rate = bootstrap_interval(clips, np.random.default_rng(0))
            gaps = [clip - 0.5 for clip in clips]
            p = sign_flip_p(gaps, np.random.default_rng(0)) if len(clips) > 1 else 1.0
            if rate.mean < 0.5:
                row, other = other, row
                bounds = [None if x is None else 1 - x for x in (rate.high, rate.low)]
                rate = Interval(1 - rate.mean, *bounds, rate.n, rate.method)
            found.append(WinRate(str(question), row, other, rate, p, len(worth)))
    return found


def agreement(answers: pd.DataFrame) -> dict[str, float | None]:
    """Per question Krippendorff's alpha (nominal) of raters on pairs; None below two raters.

    1 is full agreement, 0 what chance gives. Krippendorff, "Content Analysis", chapter 12.
    """
    found: dict[str, float | None] = {}
    for question, asked in answers.groupby("question", sort=False):
        counts = [Counter(group["answer"]) for _, group in asked.groupby("pair")]
        found[str(question)] = _alpha([count for count in counts if count.total() > 1])
    return found


def _alpha(units: list[Counter]) -> float | None:
    """Krippendorff's alpha from how often each answer was given in each unit."""
    total = sum(unit.total() for unit in units)
    if total < 2:
        return None
    observed = sum(
        sum(unit[a] * unit[b] for a, b in itertools.permutations(unit, 2)) / (unit.total() - 1)
        for unit in units
    )
    overall = sum(units, Counter())
    expected = sum(overall[a] * overall[b] for a, b in itertools.permutations(overall, 2))
    return 1.0 if expected == 0 else 1 - (total - 1) * observed / expected


def to_text(rates: Sequence[WinRate], agreed: dict[str, float | None], raters: int) -> str:
    """Markdown: win rates, then agreement."""
    lines = ["| question | preferred | over | win rate | p | clips | answers |"]
    lines += ["| --- | --- | --- | ---: | ---: | ---: | ---: |"]
    for rate in rates:
        value = rate.rate
        text = f"{100 * value.mean:.0f} %"
        if value.low is not None:
            text += f" [{100 * max(0, value.low):.0f}, {100 * min(1, value.high):.0f}]"
        cells = (rate.question, rate.row, rate.other, text, f"{rate.p:.2g}", value.n, rate.answers)
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    lines += ["", f"Raters: {raters}. Agreement (Krippendorff's alpha):"]
    for question, alpha in agreed.items():
        lines.append(f"- {question}: {'needs two raters' if alpha is None else f'{alpha:.2f}'}")
    return "\n".join(lines)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None
    except ValueError:
        raise UserError(f"{path}: not a JSON file.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a study's file.")
    return found
