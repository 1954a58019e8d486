"""A whole report: what lies in it, what it is called, and that it appears whole or not at all."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.errors import UserError
from experiments.store import Store
from reports.__main__ import main
from reports.render import render
from reports.templating import TEMPLATES
from reports.version import appearing, commit
from tests.report_fixture import EDITS, HOSTILE, FixtureCatalogue, fabricate, instructed, world_clip


class Page(HTMLParser):
    """The tags, attributes and scripts of a page, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self.in_script = False

    def handle_data(self, data: str) -> None:
        (self.scripts if self.in_script else self.text).append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    fabricate(root, clips=2, seeds=2, frames=3, title=HOSTILE, label=HOSTILE)
    return render("made", root, FixtureCatalogue(text=HOSTILE))


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page((report / "report.html").read_text())


@pytest.fixture(scope="module")
def gallery(page: Page) -> dict:
    return json.loads(page.scripts[0])


def test_a_report_holds_page_tables_figures_numbers_and_provenance(report: Path) -> None:
    found = {str(path.relative_to(report)) for path in report.rglob("*") if path.is_file()}
    tables = {f"tables/{name}.{kind}" for name in ("leaderboard", "edits-colour", "cost")
              for kind in ("md", "tex", "csv", "html")}  # fmt: skip
    drawn = ("intervals", "ablation-pnp_f_t", "cost-quality")
    figures = {f"figures/{name}.{kind}" for name in drawn for kind in ("svg", "pdf")}
    assert found >= {"report.html", "metrics.json", "provenance.json"} | tables | figures


def test_hostile_text_stays_text(page: Page) -> None:
    assert [tag for tag, _ in page.tags].count("script") == 2  # the data and our own
    assert "alert('x')" in "".join(page.text)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert len(page.scripts) == 2 and "alert" not in page.scripts[1]


def test_nothing_is_fetched(page: Page) -> None:
    loading = {"src", "href", "srcset", "data", "poster", "action"}
    for tag, attributes in page.tags:
        for name in loading & attributes.keys():
            value = attributes[name] or ""
            citation = tag == "a" and value.startswith("https://")
            assert citation or value.startswith(("data:", "#")), (tag, name, value[:60])
    for path in TEMPLATES.glob("*.css"):
        assert "@import" not in path.read_text() and "url(" not in path.read_text()


def test_players_hold_every_frame_losslessly(report: Path, gallery: dict) -> None:
    store = Store(report.parents[2] / "results")
    shown = 0
    for cell in gallery["cells"]:
        if cell["media"] is None:
            assert cell["status"] != "ok"
            continue
        entry = gallery["media"][cell["media"]]
        _, height, width, columns = entry["shape"]
        sheet = np.asarray(
            Image.open(io.BytesIO(base64.b64decode(entry["src"].partition(",")[2]))).convert("RGB")
        )
        for at, frame in enumerate(store.frames(cell["cell"])):
            y, x = divmod(at, columns)
            crop = sheet[y * height : (y + 1) * height, x * width : (x + 1) * width]
            assert np.array_equal(crop, frame)
        shown += 1
    assert shown == len(gallery["cells"]) - 2


def test_source_and_oracle_are_cut_to_the_frames_used(gallery: dict) -> None:
    clip = next(clip for clip in gallery["clips"] if clip["key"] == "world/clip-00")
    assert [edit["id"] for edit in clip["edits"]] == list(EDITS)
    assert clip["prompt"] == world_clip("world", "clip-00").prompt
    for key in (clip["source"], *(edit["oracle"] for edit in clip["edits"])):
        assert gallery["media"][key]["shape"][0] == 3


def test_what_an_edit_was_asked_for_by_stands_beside_it(gallery: dict) -> None:
    for clip in (clip for clip in gallery["clips"] if clip["key"].startswith("world/")):
        known = instructed(world_clip("world", clip["key"].partition("/")[2])).edits
        for edit in clip["edits"]:
            assert edit["prompt"] == known[edit["id"]].prompt
            assert edit["instruction"] == getattr(known[edit["id"]], "instruction", "")
        assert any(edit["instruction"] for edit in clip["edits"])


def test_equal_frames_are_stored_once(gallery: dict) -> None:
    controls = [c["media"] for c in gallery["cells"] if c["row"] == "source"]
    sources = {clip["source"] for clip in gallery["clips"]}
    assert set(controls) == sources


def test_traces_are_the_scores_of_that_edit(report: Path, gallery: dict) -> None:
    store = Store(report.parents[2] / "results")
    recipe = "clip_text@world-tiny"
    for cell in (c for c in gallery["cells"] if c["status"] == "ok"):
        value, trace = cell["scores"][recipe]
        assert trace == pytest.approx(
            store.scores(cell["cell"])[cell["edit"]][recipe]["per_frame"], rel=1e-5
        )
        assert value == pytest.approx(np.mean(trace), rel=1e-4)


def test_failures_show_their_traceback_without_the_machine(report: Path, page: Page) -> None:
    text = "".join(page.text)
    assert 'File "methods/sdedit.py"' in text
    assert str(report.parents[2]) not in (report / "report.html").read_text()
    assert "no weights <b>of</b> pick_score@v1" in text


def test_latest_is_a_relative_link_to_the_report(report: Path) -> None:
    assert (report.parent / "latest").readlink() == Path(report.name)


def test_metrics_json_is_nested_by_method_and_recipe(report: Path) -> None:
    metrics = json.loads((report / "metrics.json").read_text())
    entry = metrics["pnp[pnp_f_t=0.8]"]["psnr_oracle@rgb"]
    assert entry["n"] == 2 and "low" not in entry  # two clips: no interval
    assert metrics["footage/source"]["clip_text@world-tiny"]["n"] == 1


def test_provenance_names_code_data_weights_and_runs(report: Path) -> None:
    told = json.loads((report / "provenance.json").read_text())
    assert told["code"] == {"commit": "nogit", "dirty": False}
    assert told["backbones"] == {"world-tiny": "5f" * 32}
    assert set(told["clips"]) == {"world/clip-00", "world/clip-01", "footage/bikes"}
    assert told["seeds"] == [0, 1]
    assert list(told["runs"]["hardware_id"]) == ["cpu-1234"]
    assert told["results_digest"] in report.name


@pytest.mark.slow
def test_equal_results_give_an_equal_report(report: Path) -> None:
    before = {p.relative_to(report): p.read_bytes() for p in report.rglob("*") if p.is_file()}
    again = render("made", report.parents[2], FixtureCatalogue(text=HOSTILE))
    assert again == report
    assert before == {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}
    assert sorted(p.name for p in report.parent.iterdir()) == ["latest", report.name]


def test_large_media_lie_beside_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.media.EMBED_LIMIT", 1000)
    fabricate(tmp_path, clips=1, seeds=1, frames=2, failures=False)
    folder = render("made", tmp_path, FixtureCatalogue())
    gallery = json.loads(Page((folder / "report.html").read_text()).scripts[0])
    for entry in gallery["media"].values():
        assert (folder / entry["src"]).is_file() and not Path(entry["src"]).is_absolute()


def test_missing_results_name_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=1, pictures=False)
    (tmp_path / "results" / "made.parquet").unlink()
    assert main(["render", "made", "--root", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "made.parquet" in told and "snakemake -j N made" in told
    assert not (tmp_path / "reports").exists()


def test_an_unknown_experiment_names_the_nearest(tmp_path: Path) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=1, pictures=False)
    with pytest.raises(UserError, match="Did you mean 'made'"):
        render("mode", tmp_path, FixtureCatalogue())


def test_a_broken_parquet_is_a_user_error(tmp_path: Path) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=1, pictures=False)
    (tmp_path / "results" / "made.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match="not a readable parquet"):
        render("made", tmp_path, FixtureCatalogue())


def test_an_error_leaves_nothing_and_keeps_the_last_report(tmp_path: Path) -> None:
    folder = tmp_path / "v1"
    with appearing(folder) as scratch:
        (scratch / "a").write_text("1")
    with pytest.raises(RuntimeError), appearing(folder) as scratch:
        (scratch / "a").write_text("2")
        raise RuntimeError
    assert (folder / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]
    with appearing(folder) as scratch:
        (scratch / "b").write_text("3")
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_version_follows_scores_and_frames_but_not_costs(tmp_path: Path) -> None:
    from reports.results import load_results
    from reports.version import results_digest

    def digest() -> str:
        return results_digest(load_results("made", tmp_path, lambda _: False, lambda _: []))

    fabricate(tmp_path, clips=1, seeds=1, frames=1, pictures=False)
    path = tmp_path / "results" / "made.parquet"
    table, before = pd.read_parquet(path), digest()
    table.assign(seconds_edit=table["seconds_edit"] * 2, hardware_id="other").to_parquet(path)
    assert digest() == before
    recipe = "clip_text@world-tiny"
    table.assign(**{recipe: table[recipe] + 1e-3}).to_parquet(path)
    assert digest() != before


def test_commit_tells_changed_code_from_rendered_reports(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *names, *arguments], check=True,
                       capture_output=True)  # fmt: skip

    assert commit(tmp_path) == ("nogit", False)
    git("init")
    (tmp_path / "code.py").write_text("1")
    assert commit(tmp_path) == ("unborn", True)
    git("add", ".")
    git("commit", "-m", "first")
    head, dirty = commit(tmp_path)
    assert len(head) == 7 and not dirty
    (tmp_path / "reports" / "quickstart" / "v").mkdir(parents=True)
    (tmp_path / "reports" / "quickstart" / "v" / "report.html").write_text("made")
    assert commit(tmp_path) == (head, False)
    (tmp_path / "code.py").write_text("2")
    assert commit(tmp_path) == (head, True)
