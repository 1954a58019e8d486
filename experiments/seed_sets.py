"""The numbers of sets of seeds: one for the images of each request, standing for each of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.catalogue import Catalogue
from experiments.planner import Plan
from experiments.score import edit_name
from experiments.shares import unpacked
from experiments.store import OK, Store
from metrics.sets import SEEDS, Member, SetMetric


def with_sets_of_seeds(
    frame: pd.DataFrame, plan: Plan, store: Store, catalogue: Catalogue
) -> pd.DataFrame:
    """The tidy table with the numbers of sets of seeds in their columns."""
    metrics = {recipe: catalogue.metric(recipe) for recipe in plan.experiment.metrics}
    chosen = {
        recipe: metric
        for recipe, metric in metrics.items()
        if isinstance(metric, SetMetric) and metric.extent == SEEDS
    }
    if not chosen:
        return frame
    sets: dict[tuple, list[int]] = {}
    for at, (request, _) in enumerate(plan.rows):
        if frame["status"].iloc[at] == OK:
            setting = repr(request.setting_json)
            who = (request.label, setting, request.backbone.name)
            what = (request.clip.dataset, request.clip.clip, edit_name(request.edit))
            sets.setdefault((*who, *what), []).append(at)
    scores = {cell_id: store.scores(cell_id) for cell_id in plan.cells}
    filled = {recipe: np.full(len(frame), np.nan) for recipe in chosen}
    for places in sets.values():
        for recipe, metric in chosen.items():
            members = []
            for at in places:
                request, cell = plan.rows[at]
                edit = edit_name(request.edit)
                stored = scores[cell.id].get(edit, {}).get(recipe, {})
                if "share" in stored:
                    share = unpacked(stored["share"])
                    members.append(Member(request.clip.clip, edit, request.seed, share))
            value = metric.combine(members).value
            filled[recipe][places] = np.nan if value is None else value
    return frame.assign(**filled)
