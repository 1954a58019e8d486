"""A report plays what portraits say, in step with their frames."""

from __future__ import annotations

import io
import json
import re
import time
import wave
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.clip import Clip
from data.speech import Audio, SpokenEdit, TalkingClip
from reports import media
from reports.render import render
from tests.chromium import Browser, chromium
from tests.report_fixture import FixtureCatalogue, fabricate, world_clip

FRAMES, FPS, RATE = 8, 4.0, 16_000


class Talking(FixtureCatalogue):
    """The made-up clips, two edits of which have a sound of their own."""

    def clip(self, dataset: str, clip: str) -> Clip:
        silent = world_clip(dataset, clip)
        noise = np.random.default_rng(1).integers(-900, 900, RATE * 3, dtype=np.int16)
        edits = {
            name: edit
            if name == "shape+colour"
            else SpokenEdit(**vars(edit), audio=Audio(np.roll(noise, sum(map(ord, name)))))
            for name, edit in silent.edits.items()
        }
        return TalkingClip(**vars(replace(silent, fps=FPS, edits=edits)))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    fabricate(root, clips=1, seeds=1, frames=FRAMES)
    return render("made", root, Talking()) / "report.html"


def payload(page: Path) -> dict:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    return json.loads(text[1])


def test_the_page_holds_each_edits_sound_as_long_as_its_frames(report):
    data = payload(report)
    edits = {edit["id"]: edit["sound"] for edit in data["clips"][0]["edits"]}
    assert edits["shape+colour"] is None and edits["colour"] != edits["ground"]
    source = data["media"][edits["colour"]]["src"]
    assert source.startswith("data:audio/wav;base64,")
    with wave.open(io.BytesIO(b64decode(source.partition(",")[2]))) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (1, RATE)
        assert sound.getnframes() == FRAMES / FPS * RATE


def test_sounds_of_a_large_report_lie_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "EMBED_LIMIT", 1000)
    fabricate(tmp_path, clips=1, seeds=1, frames=FRAMES)
    page = render("made", tmp_path, Talking()) / "report.html"
    data = payload(page)
    source = data["media"][data["clips"][0]["edits"][0]["sound"]]["src"]
    assert source.endswith(".wav") and (page.parent / source).stat().st_size > RATE


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no chromium is installed")
def test_frames_follow_the_sound(report, tmp_path):
    sound = "document.querySelector('#transport audio')"
    frame = "Number(document.querySelector('#transport [name=frame]').value)"
    choose = "(s => {{ s.value = '{}'; s.dispatchEvent(new Event('input', {{bubbles: true}})) }})"
    edit = "(document.querySelector('#choice [name=edit]'))"
    with Browser(tmp_path) as page:
        page.open(report)
        wait(lambda: page.js(f"{sound}.readyState") >= 3, "the sound does not load")
        page.js(
            "(s => { s.value = 5; s.dispatchEvent(new Event('input', {bubbles: true})) })"
            "(document.querySelector('#transport [name=frame]'))"
        )
        assert page.js(f"{sound}.currentTime") == pytest.approx(5 / FPS)  # scrubbing moves both
        page.js("document.querySelector('#transport [name=play]').click()")
        wait(lambda: page.js(frame) != 5, "nothing plays")
        at, shown = page.js(f"[{sound}.currentTime, {frame}]")
        assert abs(at * FPS - shown) < 1.6  # half a frame's wait, and the time of the question
        page.js("document.querySelector('#transport [name=play]').click()")
        assert page.js(f"{sound}.paused")
        first = page.js(f"{sound}.src")
        page.js(choose.format("ground") + edit)
        assert page.js(f"{sound}.src") != first
        page.js(choose.format("shape+colour") + edit)  # it has no sound
        assert not page.js(f"{sound}.hasAttribute('src')")
        assert page.js("getComputedStyle(document.querySelector('.sound')).display") == "none"
        before = page.js(frame)
        page.js("document.querySelector('#transport [name=play]').click()")
        wait(lambda: page.js(frame) != before, "without sound nothing plays")
        assert page.problems() == []


def wait(done, otherwise: str) -> None:
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < 20, otherwise
        time.sleep(0.05)
