"""What the players need: clips, rows, and every cell's frames, scores and attention maps."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from data.instructed import instruction_of
from data.speech import Audio, audio_of
from experiments.cost_names import COSTS
from reports.cards import Catalogue
from reports.maps import attach_maps
from reports.media import Media
from reports.results import Results
from reports.tables import Table, spell


def build_gallery(
    results: Results, catalogue: Catalogue, table: Table
) -> tuple[dict[str, Any], Media]:
    """The players' data (JSON-ready) and their media.

    ``table`` is the main leaderboard: its columns say which metrics exist and how to write them.
    """
    media = Media()
    clips = [_clip(results, catalogue, media, *key) for key in _clips(results.table)]
    decimals = {column.key: column.decimals for column in table.columns}
    recipes = [r for r in results.recipes if results.ok[r].notna().any()]
    metrics = []
    for recipe in recipes:
        card = catalogue.metric(recipe)
        metrics.append(
            {
                "recipe": recipe,
                "name": f"{spell(card.name)} {card.arrow}".strip(),
                "extractor": card.extractor,
                "unit": card.unit,
                "higher": card.higher_is_better,
                "decimals": decimals.get(recipe, 3),
            }
        )
    rows = [
        {
            "key": r.key,
            "method": r.method,
            "title": r.title,
            "detail": r.detail,
            "control": r.control,
        }
        for r in results.rows
    ]
    cells = [_cell(results, media, line, recipes) for line in results.table.to_dict("records")]
    gallery = {
        "clips": clips,
        "rows": rows,
        "metrics": metrics,
        "seeds": sorted({int(seed) for seed in results.table["seed"].dropna()}),
        "cells": cells,
        "maps": attach_maps(results, catalogue, media, cells),
        "media": media.index(),
    }
    return gallery, media


def _clips(table: pd.DataFrame) -> list[tuple[str, str]]:
    pairs = table[["dataset", "clip"]].drop_duplicates()
    return [(str(d), str(c)) for d, c in pairs.itertuples(index=False)]


def _clip(
    results: Results, catalogue: Catalogue, media: Media, dataset: str, name: str
) -> dict[str, Any]:
    """A clip's source and, per edit that was asked, what it says and its oracle."""
    asked = results.table[(results.table["dataset"] == dataset) & (results.table["clip"] == name)]
    clip = catalogue.clip(dataset, name)
    n_frames = int(asked["n_frames"].dropna().max()) if asked["n_frames"].notna().any() else None
    edits = []
    for edit_id in [edit for edit in dict.fromkeys(asked["edit"]) if edit]:
        edit = clip.edits[edit_id]
        oracle = None if edit.oracle is None else media.add(edit.oracle[:n_frames])
        sound = _sound(media, audio_of(edit), n_frames, clip.fps)
        edits.append(
            {
                "id": edit_id,
                "kind": edit.kind,
                "prompt": edit.prompt,
                "instruction": instruction_of(edit),
                "oracle": oracle,
                "sound": sound,
            }
        )
    own = _sound(media, audio_of(clip), n_frames, clip.fps)
    return {
        "key": f"{dataset}/{name}",
        "prompt": clip.prompt,
        "fps": clip.fps,
        "attribution": clip.attribution,
        "source": media.add(clip.frames[:n_frames]),
        "edits": edits
        or [{"id": "", "kind": "", "prompt": clip.prompt, "oracle": None, "sound": own}],
    }


def _sound(media: Media, audio: Audio | None, n_frames: int | None, fps: float) -> str | None:
    """The key of a sound, cut as the frames are."""
    if audio is None:
        return None
    return media.add_sound(audio if n_frames is None else audio.first(n_frames, fps))


def _cell(
    results: Results, media: Media, line: dict[str, Any], recipes: list[str]
) -> dict[str, Any]:
    """One request: its frames, its scores and their traces, or why there are none."""
    cell = str(line["cell"])
    ok = line["status"] == "ok"
    frames = results.frames(cell) if ok else None
    recorded = results.scores(cell, line["edit"]) if ok else {}
    scores = {}
    for recipe in recipes:
        if ok and pd.notna(line[recipe]):
            trace = [_short(x) for x in recorded.get(recipe, {}).get("per_frame") or ()]
            scores[recipe] = [_short(line[recipe]), trace]
    return {
        "clip": f"{line['dataset']}/{line['clip']}",
        "edit": line["edit"],
        "row": line["row"],
        "seed": None if pd.isna(line["seed"]) else int(line["seed"]),
        "cell": cell,
        "media": None if frames is None else media.add(frames),
        "status": str(line["status"]),
        "scores": scores,
        "costs": {name: _short(line[name]) for name in COSTS if pd.notna(line.get(name))},
    }


def _short(value: float) -> float | None:
    """Six significant digits; what is not finite has no place in JSON."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
