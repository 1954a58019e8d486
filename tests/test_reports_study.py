"""Human studies: what is shown is blind, and filled files become win rates and agreement."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from data.errors import UserError
from reports.__main__ import main
from reports.study_results import agreement, read_answers, win_rates
from tests.chromium import Browser, chromium
from tests.report_fixture import FixtureCatalogue, fabricate

CATALOGUE = FixtureCatalogue()
METHODS = ("sdedit", "pnp", "tokenflow")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    fabricate(root, clips=2, seeds=1, frames=2, failures=False)
    assert main(["study", "made", "--pairs", "20", "--root", str(root)], CATALOGUE) == 0
    return root / "reports" / "made" / "study"


@pytest.fixture(scope="module")
def pairs(study: Path) -> dict:
    return json.loads((study / "key.json").read_text())["pairs"]


def filled(study: Path, folder: Path, rater: str, answer_of) -> Path:
    """A file as the page saves it; ``answer_of`` gives a pair's answer from its key."""
    key = json.loads((study / "key.json").read_text())
    answers = {name: {"quality": answer_of(pair)} for name, pair in key["pairs"].items()}
    path = folder / f"{rater}.json"
    path.write_text(json.dumps({"study": key["study"], "rater": rater, "answers": answers}))
    return path


def prefers(method: str):
    def answer(pair: dict) -> str:
        wins = [side for side in ("left", "right") if pair[side]["row"].startswith(method)]
        return wins[0] if len(wins) == 1 else "tie"

    return answer


def test_the_page_does_not_know_the_methods(study: Path, pairs: dict) -> None:
    page = re.sub(r"base64,[^\"]+", "", (study / "index.html").read_text())
    assert not any(method in page for method in METHODS)
    assert not any(side["cell"] in page for p in pairs.values() for side in (p["left"], p["right"]))
    assert {path.name for path in study.iterdir()} == {"index.html", "key.json"}


def test_pairs_meet_on_one_request_and_couples_in_turn(pairs: dict) -> None:
    assert len(pairs) == 20
    couples = pd.Series(
        [tuple(sorted(p[side]["row"] for side in ("left", "right"))) for p in pairs.values()]
    ).value_counts()
    assert len(couples) == 10 and set(couples) == {2}  # five ranked rows
    sides = [p["left"]["row"] < p["right"]["row"] for p in pairs.values()]
    assert 3 <= sum(sides) <= 17  # by lot


def test_a_study_is_not_written_over(study: Path, capsys: pytest.CaptureFixture) -> None:
    root = study.parents[2]
    assert main(["study", "made", "--root", str(root)], CATALOGUE) == 2
    assert "its key is needed" in capsys.readouterr().err


def test_win_rates_follow_the_preferences(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    files = [filled(study, tmp_path, name, prefers("tokenflow")) for name in ("ann", "bob")]
    rates = win_rates(read_answers(study, files))
    for rate in rates:
        sides = {rate.row.partition("[")[0], rate.other.partition("[")[0]}
        expected = 1.0 if "tokenflow" in sides and len(sides) > 1 else 0.5
        assert rate.rate.mean == expected and rate.answers == 4
        assert "tokenflow" not in sides or expected == 0.5 or rate.row.startswith("tokenflow")
    assert main(["answers", str(study), *map(str, files)]) == 0
    told = capsys.readouterr().out
    assert "100 %" in told and "quality: 1.00" in told


def test_agreement_is_krippendorff_s_alpha() -> None:
    """His example of two observers and ten articles, binary: alpha 0.095 (2011, section A)."""
    ann, bob = "0100000010", "1110010000"
    lines = [
        {"question": "q", "pair": str(unit), "rater": rater, "answer": value}
        for rater, given in (("ann", ann), ("bob", bob))
        for unit, value in enumerate(given)
    ]
    table = pd.DataFrame(lines)
    assert agreement(table)["q"] == pytest.approx(0.095, abs=5e-4)
    assert agreement(table[table["rater"] == "ann"])["q"] is None
    assert agreement(table.assign(answer="tie"))["q"] == 1.0


def test_wrong_files_are_told(study: Path, tmp_path: Path) -> None:
    path = filled(study, tmp_path, "ann", prefers("pnp"))
    content = json.loads(path.read_text())
    cases = {
        "belongs to study 'x'": content | {"study": "x"},
        "is no answer of this study": content | {"answers": {"pair-001": {"quality": "both"}}},
        "no answer": content | {"answers": {}},
        "both by rater 'ann'": content,
    }
    for said, wrong in cases.items():
        other = tmp_path / "other.json"
        other.write_text(json.dumps(wrong))
        files = [path, other] if "rater" in said else [other]
        with pytest.raises(UserError, match=said):
            read_answers(study, files)
    (tmp_path / "no.json").write_text("[")
    with pytest.raises(UserError, match="not a JSON file"):
        read_answers(study, [tmp_path / "no.json"])


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no chromium is installed")
def test_a_rater_answers_in_a_browser(study: Path, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        browser.open(study / "index.html")
        browser.js("document.querySelector('[name=rater]').focus()")
        browser.call("Input.insertText", text="Ann O'Nym")
        browser.press("Enter", 13, "\r")
        for _ in range(3):
            browser.js(
                "document.querySelectorAll('#questions [value=left]').forEach(b => b.click())"
            )
            browser.js("document.getElementById('next').click()")
        assert "Pair 4 of 20, 3 answered" in browser.js(
            "document.getElementById('progress').innerText"
        )
        browser.js(
            "new Promise(done => { const made = URL.createObjectURL;"
            "URL.createObjectURL = blob => {"
            "blob.text().then(text => { window.saved = text; done() });"
            "return made.call(URL, blob) };"
            "document.getElementById('save').click() })"
        )
        saved = browser.js("window.saved")
        assert browser.problems() == []
    (tmp_path / "ann.json").write_text(saved)
    answers = read_answers(study, [tmp_path / "ann.json"])
    assert len(answers) == 9 and set(answers["rater"]) == {"Ann O'Nym"}
    assert set(answers["question"]) == {"edit", "source", "quality"}
