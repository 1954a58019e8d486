"""Export results as a Hugging Face dataset: ``datasets.load_dataset("<folder>")`` reads it.

A folder with a card (README.md, whose front matter names files and features) and one parquet file.
Images are stored as ``datasets`` stores them: structures of bytes and path, the features described
in the file's own metadata, so that the package is needed to read and not to write.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from experiments.cost_names import COSTS
from reports.cards import Catalogue
from reports.results import Results

FILE = "data/train-00000-of-00001.parquet"
GROUP = 64  # rows written at once: pictures of a large sweep do not fit into memory
_TEXTS = ("row", "method", "label", "backbone", "dataset", "clip", "edit", "edit_kind",
          "source_prompt", "target_prompt", "setting", "status", "cell")  # fmt: skip
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_KINDS = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}


def write_dataset(results: Results, catalogue: Catalogue, folder: Path) -> int:
    """Write one row per request: what was asked, its frames, scores and costs; returns how many."""
    features = _features(results)
    schema = pa.schema([(name, _arrow(kind)) for name, kind in features.items()])
    described = {"info": {"features": features}}
    schema = schema.with_metadata({"huggingface": json.dumps(described)})
    path = folder / FILE
    path.parent.mkdir(parents=True)
    with pq.ParquetWriter(path, schema) as writer:
        held = []
        for row in _rows(results, catalogue, [*features]):
            held.append(row)
            if len(held) == GROUP:
                writer.write_table(pa.Table.from_pylist(held, schema=schema))
                held = []
        if held:
            writer.write_table(pa.Table.from_pylist(held, schema=schema))
    count = len(results.table)
    (folder / "README.md").write_text(_card(results, features, count, path), encoding="utf-8")
    return count


def _features(results: Results) -> dict[str, Any]:
    """Every column and its type, in the words of ``datasets``."""

    def value(kind: str) -> dict[str, str]:
        return {"dtype": kind, "_type": "Value"}

    numbers = [*results.recipes, *(name for name in COSTS if name in results.table)]
    features: dict[str, Any] = {name: value("string") for name in _TEXTS}
    features |= {"seed": value("int64"), "n_frames": value("int64")}
    features |= {name: value("float64") for name in numbers}
    return features | {"frames": {"feature": {"_type": "Image"}, "_type": "Sequence"}}


def _arrow(kind: dict[str, Any]) -> pa.DataType:
    return pa.list_(_IMAGE) if kind["_type"] == "Sequence" else _KINDS[kind["dtype"]]


def _rows(results: Results, catalogue: Catalogue, names: list[str]) -> Iterator[dict[str, Any]]:
    """Requests as rows of the file."""
    fields = {row.key: row for row in results.rows}
    for line in results.table.to_dict("records"):
        clip = catalogue.clip(str(line["dataset"]), str(line["clip"]))
        edit = clip.edits.get(line["edit"])
        own = [field.name for field in catalogue.method(fields[line["row"]].method).fields]
        setting = {name: line[name] for name in own if name in line and pd.notna(line[name])}
        told = {
            **{name: _known(line.get(name)) for name in names},
            "source_prompt": clip.prompt,
            "target_prompt": edit.prompt if edit else "",
            "setting": json.dumps(setting, default=str),
            "frames": _pictures(results, line),
        }
        told |= {name: str(told[name] if told[name] is not None else "") for name in _TEXTS}
        yield told


def _known(value: Any) -> Any:
    """A cell of the table; None where it is empty."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _pictures(results: Results, line: dict[str, Any]) -> list[dict[str, Any]]:
    """A request's frames as PNGs; none where its cell failed."""
    frames = results.frames(str(line["cell"])) if line["status"] == "ok" else None
    found = []
    for at, frame in enumerate([] if frames is None else frames):
        out = io.BytesIO()
        Image.fromarray(frame).save(out, "PNG")
        found.append({"bytes": out.getvalue(), "path": f"{line['cell']}-{at:04d}.png"})
    return found


def _card(results: Results, features: dict[str, Any], count: int, path: Path) -> str:
    """The dataset's card."""
    split = {"name": "train", "num_examples": count, "num_bytes": path.stat().st_size}
    front = {
        "pretty_name": results.title,
        "tags": ["crossframe", "video-editing", "benchmark"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}
        ],
        "dataset_info": {"features": _listed(features), "splits": [split]},
    }
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n"
        f"# {results.title}\n\n{results.spec.get('description') or ''}\n\n"
        f"{count} requests of the Crossframe experiment `{results.experiment}`: what was asked, "
        "the frames that came, and every score under the name of its recipe "
        "(`<metric>@<what computed it>`).\n"
    )


def _listed(features: dict[str, Any]) -> list[dict[str, Any]]:
    """Features as a card's front matter lists them."""
    return [
        {"name": name, "sequence": "image"}
        if kind["_type"] == "Sequence"
        else {"name": name, "dtype": kind["dtype"]}
        for name, kind in features.items()
    ]
