"""Compare two reports: what improved, what regressed, and what cannot be compared.

Requests are paired by row, clip, edit and seed. A difference counts when its 95 % interval over
clips leaves out 0; it is a regression beyond the margin when the whole interval does. With fewer
than five clips there is no interval, and every clip has to agree instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from experiments.cost_names import COSTS
from reports.cards import Catalogue
from reports.estimates import Estimate, difference, estimate
from reports.sides import Side

IMPROVED, REGRESSED, EQUAL, APART = "improved", "regressed", "equal", "not comparable"
ORDER = (REGRESSED, IMPROVED, APART, EQUAL)
COMPARED_COSTS = tuple(c for c in COSTS if c not in ("seconds_load", "seconds_warmup", "energy_j"))
# How much worse, as a share of the first report's mean, still passes where a metric says nothing.
SHARE, COST_SHARE = 0.02, 0.1
ROUNDING = 1e-6  # of the mean: what another processor may make of the same sums
FAILED = "failed cells"


@dataclass(frozen=True)
class Change:
    """What became of one number."""

    row: str
    recipe: str  # or a cost figure
    verdict: str
    reason: str = ""
    first: Estimate | None = None
    second: Estimate | None = None
    change: Estimate | None = None  # second minus first
    margin: float = 0.0
    beyond: bool = False  # worse by more than the margin


def compare(a: Side, b: Side, catalogue: Catalogue) -> list[Change]:
    """Every number that either report has, regressions first."""
    changes = []
    rows = list(dict.fromkeys([*a.cells["row"], *b.cells["row"]]))
    for row in rows:
        first, second = (side.cells[side.cells["row"] == row] for side in (a, b))
        if first.empty or second.empty:
            changes.append(Change(row, "", APART, f"only in {(b if first.empty else a).name}"))
            continue
        both, moved = _shared(first, second, a, b)
        if both is None:
            changes.append(Change(row, "", APART, moved))
            continue
        changes += _row(row, *both, a, b, catalogue)
    return sorted(changes, key=lambda c: (ORDER.index(c.verdict), rows.index(c.row)))


def _shared(
    first: pd.DataFrame, second: pd.DataFrame, a: Side, b: Side
) -> tuple[tuple[pd.DataFrame, pd.DataFrame] | None, str]:
    """The requests that both ask of the same clips; None with the reason where there are none."""
    request = ["dataset", "clip", "edit", "seed"]
    keys = first[request].merge(second[request])
    if keys.empty:
        return None, "no request in common"
    same = [a.clips.get(n) == b.clips.get(n) for n in keys["dataset"] + "/" + keys["clip"]]
    if not any(same):
        return None, "the clips' frames or prompts differ"
    keys = keys[same]
    return (first.merge(keys), second.merge(keys)), ""


def _row(
    row: str, first: pd.DataFrame, second: pd.DataFrame, a: Side, b: Side, catalogue: Catalogue
) -> list[Change]:
    """A row's failures, metrics and costs."""
    failed = [int((lines["status"] != "ok").sum()) for lines in (first, second)]
    verdict = REGRESSED if failed[1] > failed[0] else IMPROVED if failed[1] < failed[0] else EQUAL
    told = f"{failed[0]} then {failed[1]} of {len(first)}"
    changes = [Change(row, FAILED, verdict, told, beyond=verdict == REGRESSED)]
    first, second = (lines[lines["status"] == "ok"] for lines in (first, second))
    for recipe in dict.fromkeys([*a.provenance["metrics"], *b.provenance["metrics"]]):
        card = catalogue.metric(recipe)
        reason = _other_recipe(a, b, recipe)
        if reason:
            changes.append(Change(row, recipe, APART, reason))
        elif card.higher_is_better is not None:
            margin = (card.margin, SHARE)
            found = _judge(row, recipe, first, second, card.higher_is_better, margin)
            changes += [found] if found else []
    for name in COMPARED_COSTS:
        if name in first and name in second:
            counted = name.endswith("evaluations")
            reason = "" if counted else _other_hardware(first, second)
            if reason and first[name].notna().any() and second[name].notna().any():
                changes.append(Change(row, name, APART, reason))
            elif not reason:
                margin = (0.0 if counted else None, COST_SHARE)
                found = _judge(row, name, first, second, False, margin)
                changes += [found] if found else []
    return changes


def _other_recipe(a: Side, b: Side, recipe: str) -> str:
    """Why two reports' scores by one recipe are not of one kind; empty where they are."""
    one, other = a.recipe(recipe), b.recipe(recipe)
    if one is None or other is None:
        return f"only in {(b if one is None else a).name}"
    if one["version"] != other["version"]:
        return f"version {one['version']} and {other['version']}"
    if one["extractor"] != other["extractor"]:
        return (
            f"extractor {one['extractor'][:12] or 'none'} and {other['extractor'][:12] or 'none'}"
        )
    return ""


def _other_hardware(first: pd.DataFrame, second: pd.DataFrame) -> str:
    """Why two reports' times are not of one kind; empty where they are."""
    one, other = (sorted(set(lines["hardware_id"])) for lines in (first, second))
    return "" if one == other and len(one) == 1 else f"hardware {_told(one)} and {_told(other)}"


def _told(machines: list[str]) -> str:
    return "+".join(machine or "unknown" for machine in machines) or "none"


def _judge(
    row: str,
    name: str,
    first: pd.DataFrame,
    second: pd.DataFrame,
    higher: bool,
    margin: tuple[float | None, float],
) -> Change | None:
    """One number's verdict; None where neither report has it."""
    if name not in first or name not in second:
        return None
    means = estimate(first, name), estimate(second, name)
    if means == (None, None):
        return None
    change = difference(second, first, name)
    if change is None:
        return Change(row, name, APART, "no score in common", *means)
    allowed, share = margin
    allowed = share * abs(means[0].mean) if allowed is None else allowed
    sign = 1 if higher else -1
    if change.low is None:  # few clips: each has its say
        gains = [sign * point for point in change.points]
    else:
        gains = [sign * change.low, sign * change.high]
    verdict, reason = EQUAL, "within noise"
    if max(map(abs, change.points)) <= ROUNDING * abs(means[0].mean):
        reason = "within rounding" if any(change.points) else "identical"
    elif min(gains) > 0 or max(gains) < 0:
        verdict, reason = (IMPROVED if min(gains) > 0 else REGRESSED), ""
    beyond = verdict == REGRESSED and max(gains) < -allowed
    if verdict == REGRESSED and not beyond:
        reason = "within the margin"
    return Change(row, name, verdict, reason, *means, change, allowed, beyond)


def exit_status(changes: list[Change]) -> int:
    """1 where anything regressed beyond its margin."""
    return int(any(change.beyond for change in changes))
