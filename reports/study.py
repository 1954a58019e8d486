"""Export a human study: blinded pairs of edits side by side, as a page that needs no server.

A question shows the source, the prompt and two edits, left and right by lot. The page knows
neither methods nor settings: ``key.json`` does, and stays with who runs the study.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from experiments.schema import RowBlock
from reports.cards import Catalogue
from reports.layout import choose_rows
from reports.media import Media
from reports.results import Results
from reports.rows import Row
from reports.templating import embed_json, environment, own
from reports.version import appearing

QUESTIONS = {
    "edit": "Which follows the text better?",
    "source": "Which keeps better what the text leaves alone?",
    "quality": "Which looks better?",
}


def export_study(
    results: Results, catalogue: Catalogue, labels: Sequence[str], pairs: int, folder: Path
) -> int:
    """Write ``index.html`` and ``key.json``; returns how many pairs they hold.

    Two different rows of the named labels (default: all that are ranked) meet on the same clip,
    edit and seed; ``pairs`` are drawn so that every couple of rows meets about equally often.
    Raises UserError where fewer than two rows have frames to show.
    """
    rows = choose_rows(results, catalogue, [RowBlock(label=label) for label in labels])
    rows = [row for row in rows if labels or not row.control]
    drawn = _draw(results, rows, pairs)
    if not drawn:
        raise UserError(
            f"{results.experiment}: a study needs two rows with frames of the same clip, edit and "
            f"seed; there are {', '.join(row.name for row in rows) or 'none'}."
        )
    media, shown, key = Media(), [], {}
    for number, (left, right) in enumerate(drawn, 1):
        name = f"pair-{number:03d}"
        clip = catalogue.clip(left["dataset"], left["clip"])
        sides = [results.frames(str(side["cell"])) for side in (left, right)]
        shown.append(
            {
                "id": name,
                "prompt": clip.edits[left["edit"]].prompt,
                "fps": clip.fps,
                "source": media.add(clip.frames[: len(sides[0])]),
                "left": media.add(sides[0]),
                "right": media.add(sides[1]),
            }
        )
        key[name] = {
            **{part: str(left[part]) for part in ("dataset", "clip", "edit", "seed")},
            "left": {"row": left["row"], "cell": str(left["cell"])},
            "right": {"row": right["row"], "cell": str(right["cell"])},
        }
    study = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    content = {"study": study, "pairs": shown, "questions": QUESTIONS, "media": media.index()}
    with appearing(folder) as scratch:
        _write(scratch, content, media)
        told = {"study": study, "experiment": results.experiment, "pairs": key}
        (scratch / "key.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return len(drawn)


def _draw(results: Results, rows: Sequence[Row], count: int) -> list[tuple[dict, dict]]:
    """Pairs of requests, each side by lot, the couples of rows in turn; the same ones each time."""
    rng = np.random.default_rng(0)
    edited = results.ok[results.ok["edit"] != ""]
    edited = edited[[results.store.valid(str(cell)) for cell in edited["cell"]]]
    requests = {row.key: {} for row in rows}
    for line in edited[edited["row"].isin(list(requests))].to_dict("records"):
        place = (line["dataset"], line["clip"], line["edit"], line["seed"])
        requests[line["row"]][place] = line
    queues = []
    for one, other in itertools.combinations(requests.values(), 2):
        shared = sorted(one.keys() & other.keys())
        places = [shared[i] for i in rng.permutation(len(shared))]
        queues.append([(one[at], other[at]) for at in places])
    turns = itertools.chain.from_iterable(itertools.zip_longest(*queues))
    chosen = [pair for pair in turns if pair and pair[0]["cell"] != pair[1]["cell"]][:count]
    chosen = [chosen[i] for i in rng.permutation(len(chosen))]
    return [pair if rng.random() < 0.5 else pair[::-1] for pair in chosen]


def _write(folder: Path, content: dict[str, Any], media: Media) -> None:
    """The page, and the frames beside it where they are large."""
    page = environment().get_template("study.html")
    style = own("table.css") + own("study.css")
    text = page.render(payload=embed_json(content), style=style, script=own("study.js"))
    (folder / "index.html").write_text(text, encoding="utf-8")
    if not media.embedded:
        (folder / "media").mkdir()
        for name, sheet in media.sheets.items():
            (folder / "media" / f"{name}.webp").write_bytes(sheet)
