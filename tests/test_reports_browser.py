"""The report in a browser, driven as a reader would: sort, filter, play, scrub, trace a number."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports.render import render
from tests.chromium import Browser, chromium
from tests.report_fixture import HOSTILE, FixtureCatalogue, fabricate

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason="no chromium is installed"),
    pytest.mark.slow,
]
ENTER, RIGHT, ESCAPE = ("Enter", 13, "\r"), ("ArrowRight", 39), ("Escape", 27)
VISIBLE = "document.querySelector('.variant:not([hidden]) table')"
COLUMN = (
    f"[...{VISIBLE}.querySelectorAll('tbody:not(.reference) tr:not([hidden]) td:nth-child(2)')]"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser")
    fabricate(root, clips=2, seeds=1, frames=3, label=HOSTILE)
    return render("made", root, FixtureCatalogue()) / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Browser]:
    browser.open(report)
    yield browser
    assert browser.problems() == []


def test_a_column_is_sorted_by_the_keyboard(page: Browser) -> None:
    page.js(f"{VISIBLE}.querySelectorAll('thead button')[1].focus()")
    values = f"{COLUMN}.map(cell => Number(cell.dataset.value))"
    for direction, sign in (("ascending", 1), ("descending", -1)):
        page.press(*ENTER)
        assert page.js(f"{VISIBLE}.querySelectorAll('th')[1].ariaSort") == direction
        found = page.js(values)
        assert len(found) > 3 and found == sorted(found, key=lambda value: sign * value)


def test_rows_and_edits_are_filtered(page: Browser) -> None:
    page.js("document.querySelector('#filters [name=text]').focus()")
    page.call("Input.insertText", text="pnp_f_t = 0.8")
    names = page.js(f"{COLUMN}.map(cell => cell.parentNode.cells[0].innerText)")
    assert len(names) == 2 and all("pnp_f_t = 0.8" in name for name in names)
    page.js(
        "(s => { s.value = 'ground'; s.dispatchEvent(new Event('input', {bubbles: true})) })"
        "(document.querySelector('#filters [name=kind]'))"
    )
    assert page.js(f"{VISIBLE}.id") == "table-edits-ground"


def test_players_play_pause_and_scrub_together(page: Browser) -> None:
    frame = "Number(document.querySelector('#transport [name=frame]').value)"
    page.js("document.querySelector('#transport [name=play]').focus()")
    page.press(*ENTER)
    begun = time.monotonic()
    while page.js(frame) == 0:
        assert time.monotonic() - begun < 20, "nothing plays"
    page.press(*ENTER)
    at = page.js(frame)
    assert page.js(frame) == at  # paused
    page.js("document.querySelector('#transport [name=frame]').focus(); show(0)")
    page.press(*RIGHT)
    assert page.js(frame) == 1
    cursors = page.js("[...document.querySelectorAll('.cursor')].map(c => c.getAttribute('x1'))")
    traced = [float(x) for x in cursors]  # a metric of pairs of frames has one value fewer
    assert len(traced) > 3 and set(traced) == {50.0}
    shown = page.js(
        "(async () => { await new Promise(done => setTimeout(done, 300));"
        "return [...document.querySelectorAll('#stage canvas')].map(c => "
        "[...c.getContext('2d').getImageData(0, 0, 64, 64).data].some(x => x > 0 && x < 255)) })()"
    )
    assert len(shown) > 4 and all(shown)


def test_a_number_leads_to_its_cells(page: Browser) -> None:
    number = page.js(
        f"(c => {{ c.click(); return c.querySelector('span').innerText }})({COLUMN}[1])"
    )
    assert page.js("document.getElementById('trace').open")
    told = page.js("document.getElementById('trace-mean').innerText")
    assert told.endswith(f"mean over clips {number}")
    rows = page.js("document.querySelectorAll('#trace tbody tr').length")
    assert rows == 6 and f"{rows} requests" in told
    page.press(*ESCAPE)
    assert not page.js("document.getElementById('trace').open")
    page.js(f"{COLUMN}[0].parentNode.cells[0].querySelector('button').focus()")
    page.press(*ENTER)
    assert page.js("document.getElementById('trace').open")
    page.js("document.querySelector('#trace tbody button').click()")
    assert not page.js("document.getElementById('trace').open")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_are_told_apart_and_readable(page: Browser, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", features=features)
    picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
    dim = "getComputedStyle(document.querySelector('.sub')).color"
    ink = [int(x) for x in page.js(dim).removeprefix("rgb(").rstrip(")").split(",")]
    paper = np.median(picture)
    assert (paper > 200) == (scheme == "light") and (paper < 60) == (scheme == "dark")
    assert contrast(np.mean(ink), paper) > 4.5  # WCAG AA, for the faintest text
    page.call("Emulation.setEmulatedMedia", features=[])


def contrast(one: float, other: float) -> float:
    """WCAG 2 contrast of two greys of 0 to 255."""
    light = [((x / 255 + 0.055) / 1.055) ** 2.4 for x in (one, other)]
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_is_no_wider_than_the_window(page: Browser, width: int) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, mobile=False,
              deviceScaleFactor=1)  # fmt: skip
    assert page.js("document.documentElement.scrollWidth") <= width
    page.call("Emulation.clearDeviceMetricsOverride")


def test_print_leaves_the_controls_out(page: Browser) -> None:
    page.call("Emulation.setEmulatedMedia", media="print")
    shown = "getComputedStyle(document.querySelector('{}')).display"
    assert page.js(shown.format(".transport")) == "none"
    assert page.js(shown.format("table.results")) == "table"
    page.call("Emulation.setEmulatedMedia", media="")


def no_figures(*_: object) -> list:
    """In place of the figures, by a name that the process that draws them finds."""
    return []


def test_a_thousand_cells_load_in_two_seconds(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In seconds of the page's own thread: other work on the machine is not the page's."""
    monkeypatch.setattr("reports.render.all_figures", no_figures)
    fabricate(tmp_path, clips=24, seeds=2, frames=2, pictures=False)
    folder = render("made", tmp_path, FixtureCatalogue())
    browser.call("Performance.enable", timeDomain="threadTicks")
    browser.open(folder / "report.html")
    assert browser.js("data.cells.length") >= 1000
    metrics = {m["name"]: m["value"] for m in browser.call("Performance.getMetrics")["metrics"]}
    assert metrics["TaskDuration"] < 2
    assert browser.problems() == []


@pytest.mark.slow
def test_a_thousand_cells_with_their_pictures_load_in_two_seconds(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures of that many lie beside the page, which is small without them."""
    monkeypatch.setattr("reports.render.all_figures", no_figures)
    fabricate(tmp_path, clips=24, seeds=2, frames=4)
    folder = render("made", tmp_path, FixtureCatalogue())
    beside = sum(path.stat().st_size for path in (folder / "media").iterdir())
    assert beside > 10e6 > 4 * (folder / "report.html").stat().st_size
    browser.call("Performance.enable", timeDomain="threadTicks")
    browser.open(folder / "report.html")
    assert browser.js("data.cells.length") >= 1000
    metrics = {m["name"]: m["value"] for m in browser.call("Performance.getMetrics")["metrics"]}
    assert metrics["TaskDuration"] < 2
    assert browser.problems() == []
