"""Results in others' formats say what the tables say, and are read by others' programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from reports.__main__ import main
from reports.hub import FILE
from reports.leaderboards import leaderboard
from reports.render import read
from tests.report_fixture import RECIPES, FixtureCatalogue, fabricate

SCHEMA = Path(__file__).parents[1] / "reports" / "leaderboard.schema.json"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    fabricate(folder, clips=5, seeds=1, frames=2)
    for to in ("huggingface", "leaderboard"):
        given = ["export", "made", "--to", to, "--root", str(folder)]
        assert main(given, FixtureCatalogue()) == 0
    return folder


@pytest.fixture(scope="module")
def hub(root: Path) -> Path:
    return root / "reports" / "made" / "export" / "huggingface"


def test_every_request_is_a_row_with_its_scores_and_frames(root: Path, hub: Path) -> None:
    results = read("made", root, FixtureCatalogue())
    found = pq.read_table(hub / FILE).to_pandas()
    assert len(found) == len(results.table)
    for name in RECIPES:
        assert np.array_equal(found[name], results.table[name].astype(float), equal_nan=True)
    for at in (0, len(found) - 1):
        line, row = results.table.iloc[at], found.iloc[at]
        frames = [np.asarray(Image.open(io.BytesIO(frame["bytes"]))) for frame in row["frames"]]
        assert (np.stack(frames) == results.frames(line["cell"])).all()
    swept = found[found["method"] == "pnp"].iloc[0]
    assert json.loads(swept["setting"]) == {"n_timesteps": 20, "pnp_f_t": 0.4}
    clip = FixtureCatalogue().clip("world", swept["clip"])
    assert swept["source_prompt"] == clip.prompt
    assert swept["target_prompt"] == clip.edits[swept["edit"]].prompt
    failed = found[found["status"] != "ok"]
    assert len(failed) == 1 and len(failed.iloc[0]["frames"]) == 0


def test_the_file_and_the_card_describe_every_column_alike(hub: Path) -> None:
    schema = pq.read_schema(hub / FILE)
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    front = yaml.safe_load((hub / "README.md").read_text().split("---")[1])
    listed = {each.pop("name"): each for each in front["dataset_info"]["features"]}
    assert list(listed) == schema.names
    for name, field in zip(schema.names, schema, strict=True):
        if name == "frames":
            assert features[name] == {"feature": {"_type": "Image"}, "_type": "Sequence"}
            assert listed[name] == {"sequence": "image"}
            assert str(field.type).startswith("list<") and "bytes: binary" in str(field.type)
        else:
            told = {"string": "string", "int64": "int64", "double": "float64"}[str(field.type)]
            assert features[name] == {"dtype": told, "_type": "Value"}
            assert listed[name] == {"dtype": told}
    (config,) = front["configs"]
    assert list(hub.glob(config["data_files"][0]["path"])) == [hub / FILE]


def test_datasets_itself_loads_it(root: Path, hub: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the package datasets to read it")
    loaded = datasets.load_dataset(str(hub), split="train", cache_dir=str(tmp_path))
    table = pd.read_parquet(root / "results" / "made.parquet")
    assert loaded["cell"][:] == table["cell"].tolist()
    first = loaded[0]["frames"]
    assert len(first) == 2 and first[0].size == (64, 64)


def test_the_leaderboard_s_json_is_as_its_schema_says_and_says_what_the_table_says(
    root: Path,
) -> None:
    found = json.loads((root / "reports" / "made" / "export" / "leaderboard.json").read_text())
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found | {"rows": [{"key": "pnp"}]}, schema)
    results = read("made", root, FixtureCatalogue())
    table = leaderboard(results, FixtureCatalogue(), "world")
    assert [row["key"] for row in found["rows"]] == [line.row.key for line in table.lines]
    for row, line in zip(found["rows"], table.lines, strict=True):
        for column, entry in zip(table.columns, line.entries, strict=True):
            if entry.estimate is not None:
                told = row["scores"][column.key]
                assert (told["mean"], told["n"]) == (entry.estimate.mean, entry.estimate.n)
                assert told.get("low") == entry.estimate.low
                assert told["best"] == ("best" in entry.rank)
    assert {row["label"]: row["failed"] for row in found["rows"]}["sdedit"] == 1
    assert {row["method"] for row in found["rows"] if row["reference"]} == {
        "source", "oracle", "reconstruct",
    }  # fmt: skip
