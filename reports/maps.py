"""The map viewer's data: the attention to each phrase of a layout, step by step, as picture sheets.

Methods that watch a block keep it beside the frames (the trace ``attention``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.attention_mass import TRACE, inside
from reports.cards import Catalogue
from reports.media import Media
from reports.results import Results

WHITE = 99.5  # percentile of all that is shown: a few bright cells would leave the rest in the dark


def attach_maps(
    results: Results, catalogue: Catalogue, media: Media, cells: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Give every cell whose attention was kept its ``maps``; None where there is none.

    ``cells`` are those of the report's requests, in their order. A cell's maps are tiles of one
    sheet, grey from 0 to the report's ``white``: step after step, in it image after image, in it
    phrase after phrase. ``inside`` holds, by phrase and step, the share of the attention that lies
    within the phrase's boxes.
    """
    found = [(cell, kept) for cell in cells if (kept := _kept(results, cell)) is not None]
    if not found:
        return None
    white = float(np.percentile(np.concatenate([kept.ravel() for _, kept in found]), WHITE))
    layouts: dict[str, list[list[Any]]] = {}
    for cell, kept in found:
        edit = catalogue.clip(*cell["clip"].split("/", 1)).edits[cell["edit"]]
        layouts[f"{cell['clip']}/{edit.id}"] = [[r.phrase, r.boxes] for r in edit.layout]
        grey = np.clip(kept.astype(np.float32) / white * 255, 0, 255).round().astype(np.uint8)
        tiles = grey.reshape(-1, *grey.shape[-2:])
        masks = np.stack([inside(region, *kept.shape[-2:]) for region in edit.layout])
        share = (kept * masks).sum((-2, -1), dtype=float) / kept.sum((-2, -1), dtype=float)
        cell["maps"] = {
            "media": media.add(np.repeat(tiles[..., None], 3, axis=-1)),
            "shape": list(kept.shape[:3]),
            "inside": share.mean(axis=1).T.round(3).tolist(),
        }
    return {"white": float(f"{white:.2g}"), "layouts": layouts}


def _kept(results: Results, cell: dict[str, Any]) -> np.ndarray | None:
    """(steps, N, phrases, h, w) attention of a cell with frames; None where none was kept."""
    if cell["media"] is None:
        return None
    return results.store.traces(cell["cell"]).get(TRACE)
