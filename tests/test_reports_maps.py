"""The map viewer: what each word looks at, step by step, on attention that is known by hand."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.clip import Clip, Region
from experiments.store import Store
from reports.gallery import build_gallery
from reports.leaderboards import leaderboards
from reports.render import read, render
from tests.chromium import Browser, chromium
from tests.report_fixture import HOSTILE, FixtureCatalogue, fabricate

LEFT, RIGHT = ((0.0, 0.0, 0.5, 1.0),), ((0.5, 0.0, 1.0, 1.0),)
STEPS, IMAGES, SIDE = 5, 2, 4


class LaidOut(FixtureCatalogue):
    """Two phrases with boxes in every edit, one of them hostile."""

    def clip(self, dataset: str, clip: str) -> Clip:
        found = super().clip(dataset, clip)
        layout = (Region("red star", LEFT), Region(f"{HOSTILE} disc", RIGHT))
        edits = {key: replace(edit, layout=layout) for key, edit in found.edits.items()}
        return replace(found, edits=edits)


def attention() -> np.ndarray:
    """The first phrase moves from the right into its box; the second has a quarter of its in."""
    kept = np.zeros((STEPS, IMAGES, 2, SIDE, SIDE), np.float16)
    for step in range(STEPS):
        share = step / (STEPS - 1)
        kept[step, :, 0, :, :2] = share / 8
        kept[step, :, 0, :, 2:] = (1 - share) / 8
    kept[:, :, 1, :, :] = 0.01
    kept[:, :, 1, :, 0] = 0.05
    kept[:, :, 1, 0, 0] += 0.02  # brighter in image and sheet than its neighbours
    return kept


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clip 0's colour edit has maps, of two methods; nothing else has."""
    made = tmp_path_factory.mktemp("maps")
    fabricate(made, clips=2, seeds=1, frames=IMAGES, failures=False)
    store, table = Store(made / "results"), pd.read_parquet(made / "results" / "made.parquet")
    watched = table[(table["clip"] == "clip-00") & (table["edit"] == "colour")]
    for cell in watched.loc[watched["method"].isin(["pnp", "sdedit"]), "cell"]:
        frames, record = store.frames(cell), store.run(cell)
        store.write_frames(cell, frames, record, {"attention": attention()})
    return made


def test_a_cells_maps_are_tiles_in_order_and_shares_by_hand(root: Path) -> None:
    results = read("made", root, LaidOut())
    gallery, media = build_gallery(results, LaidOut(), leaderboards(results, LaidOut())[0])
    cells = [cell for cell in gallery["cells"] if "maps" in cell]
    assert {cell["row"].partition("[")[0] for cell in cells} == {"pnp", "sdedit"}
    maps = cells[0]["maps"]
    assert maps["shape"] == [STEPS, IMAGES, 2]
    np.testing.assert_allclose(maps["inside"][0], np.linspace(0, 1, STEPS), atol=1e-3)
    kept = attention()[0, 0, 1].astype(float)
    assert maps["inside"][1] == pytest.approx([kept[:, 2:].sum() / kept.sum()] * STEPS, abs=1e-3)
    n, height, width, columns = media.shapes[maps["media"]]
    assert (n, height, width) == (STEPS * IMAGES * 2, SIDE, SIDE)
    sheet = np.asarray(Image.open(io.BytesIO(media.sheets[maps["media"]])).convert("RGB"))
    y, x = divmod((3 * IMAGES + 1) * 2, columns)  # step 3, image 1, first phrase
    tile = sheet[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE, 0].astype(float)
    assert tile[0, 0] / tile[0, -1] == pytest.approx(3, rel=0.03)
    assert gallery["maps"]["layouts"] == {
        "world/clip-00/colour": [["red star", LEFT], [f"{HOSTILE} disc", RIGHT]]
    }


def test_without_attention_a_report_has_no_viewer(tmp_path: Path) -> None:
    fabricate(tmp_path, clips=1, seeds=1, frames=2, failures=False)
    page = (render("made", tmp_path, FixtureCatalogue()) / "report.html").read_text()
    assert 'id="maps"' not in page and "map-choice" not in page


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no chromium is installed")
class TestInABrowser:
    @pytest.fixture(scope="class")
    def browser(self, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
        page = render("made", root, LaidOut()) / "report.html"
        with Browser(tmp_path_factory.mktemp("profile")) as made:
            made.open(page)
            yield made

    @pytest.fixture
    def page(self, browser: Browser) -> Iterator[Browser]:
        yield browser
        assert browser.problems() == []

    def test_each_word_has_a_lens_for_each_method(self, page: Browser) -> None:
        words = page.js("[...document.querySelectorAll('#map-stage h3')].map(h => h.textContent)")
        assert words == ["red star", f"{HOSTILE} disc"]
        named = "[...document.querySelectorAll('#map-stage figcaption')].map(c => c.innerText)"
        assert len(page.js(named)) == 2 * 3  # sdedit, and pnp's two settings
        box = "document.querySelector('#map-stage .asked').style.cssText"
        assert page.js(box) == "left: 0%; top: 0%; width: 50%; height: 100%;"

    def test_the_keyboard_scrubs_all_lenses(self, page: Browser) -> None:
        page.js("showMaps(0); document.querySelector('#map-choice [name=step]').focus()")
        said = (
            "[...document.querySelectorAll('#map-stage .value span:last-child')]"
            ".map(v => v.textContent)"
        )
        seen = [page.js(said)[0]]
        for _ in range(STEPS - 1):
            page.press("ArrowRight", 39)
            seen.append(page.js(said)[0])
        assert seen == ["0 %", "25 %", "50 %", "75 %", "100 %"]
        assert page.js("document.querySelector('#map-choice output').textContent") == "5 / 5"

    def test_a_press_on_a_steps_map_goes_to_that_step(self, page: Browser) -> None:
        """Five maps in three columns: the right end of the first row is the third step."""
        page.js("showMaps(0); document.querySelector('#map-stage').scrollIntoView()")
        spot = page.js(
            "(b => ({x: b.left + b.width * 0.9, y: b.top + b.height * 0.2}))"
            "(document.querySelector('.tiles canvas').getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            page.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **spot)
        assert page.js("document.querySelector('#map-choice output').textContent") == "3 / 5"

    def test_the_picture_is_bright_where_the_word_is_looked_at(self, page: Browser) -> None:
        bright = (
            "(async () => { showMaps(%d); await new Promise(done => setTimeout(done, 300));"
            "const c = document.querySelector('.through canvas');"
            "const half = x => c.getContext('2d').getImageData(x, 0, c.width / 2, c.height).data"
            ".reduce((a, b) => a + b, 0); return half(0) / half(c.width / 2) })()"
        )
        first, last = (page.js(bright % step) for step in (0, STEPS - 1))
        assert last > 1.5 * first
