"""The parity runner: every recording counts, and nothing that is wrong passes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from tests.parity import run
from tests.parity.__main__ import main
from tests.parity.compare import Tolerance, compare, largest
from tests.parity.recording import CannotRun, Recording


def doubling(recording: Recording):
    """A family whose original doubled numbers."""
    if "factor" not in recording.manifest["settings"]:
        raise CannotRun("no kind that doubling knows")
    within = Tolerance(**recording.manifest["tolerance"])

    def check(name: str):
        x = recording.tensors[f"in.{name}"].to(recording.dtype)
        ours = x * recording.setting("factor") if name != "tie" else (x > 0.1).to(x)
        yield compare(recording.tensors[f"out.{name}"], ours, within)

    for name in recording.setting("runs"):
        yield name, lambda name=name: check(name)


@pytest.fixture(autouse=True)
def family(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(REPOSITORIES=("someone/doubling",), cases=doubling)
    monkeypatch.setattr(run, "_families", lambda: [module])


def record(folder: Path, tensors: dict[str, torch.Tensor] | None = None, **manifest) -> Path:
    """Write a recording of two runs; keywords replace entries of its manifest."""
    folder = folder / "doubling" / "held-back"
    folder.mkdir(parents=True, exist_ok=True)
    x, y = torch.tensor([1.0, -3.0]), torch.tensor([[0.5], [7.0]])
    tensors = tensors or {"in.a": x, "out.a": 2 * x, "in.b": y, "out.b": 2 * y}
    path = folder / "case7.safetensors"
    save_file(tensors, path)
    content = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors": {name: {} for name in tensors},
        "repo": "github.com/someone/doubling",
        "settings": {"factor": 2, "runs": ["a", "b"]},
        "tolerance": {"absolute": 1e-6, "relative": 1e-6},
    }
    path.with_suffix(".json").write_text(json.dumps(content | manifest))
    (folder / "net").mkdir(exist_ok=True)
    (folder / "net" / "config.json").write_text("{}")
    (folder / "empty.json").write_text("")
    return path


def outcome(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and output."""
    status = main([str(folder)])
    return status, "".join(capsys.readouterr())


def test_every_case_of_a_faithful_method_is_ok(tmp_path: Path, capsys) -> None:
    record(tmp_path)
    status, text = outcome(tmp_path, capsys)
    assert status == 0 and "2 cases: 2 within tolerance, 0 not, 0 cannot be run" in text
    assert "doubling/held-back/case7 a" in text and text.count("  ok\n") == 2


def test_a_case_out_of_tolerance_is_a_miss_and_hides_no_other(tmp_path: Path, capsys) -> None:
    x = torch.tensor([1.0, -3.0])
    record(tmp_path, {"in.a": x, "out.a": 2 * x + 0.25, "in.b": 3 * x, "out.b": 6 * x})
    status, text = outcome(tmp_path, capsys)
    first, second = text.splitlines()[:2]
    assert status == 1
    assert first.endswith("NOT OK") and "absolute 2.5e-01 (<= 1e-06)" in first
    assert second.endswith("  ok")


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"repo": "someone/tripling"}, "family 'doubling' (someone/tripling) is not built"),
        ({"settings": {"runs": []}}, "no kind that doubling knows"),
        ({"settings": {"factor": 2, "runs": ["c"]}}, "the recording has no tensor 'in.c'"),
        ({"settings": {"factor": "x", "runs": ["a", "b"]}}, "TypeError"),
        ({"settings": {"factor": 2, "runs": ["a"]}}, "uses 2 recorded tensors: in.b, out.b"),
        ({"sha256": "0" * 64}, "sha256 differs"),
        ({"file": "gone.safetensors"}, "gone.safetensors is missing"),
    ],
)
def test_what_cannot_be_run_is_a_miss_with_its_reason(
    changes: dict, reason: str, tmp_path: Path, capsys
) -> None:
    record(tmp_path, **changes)
    status, text = outcome(tmp_path, capsys)
    assert status == 1 and reason in text


def test_cases_of_an_unbuilt_family_are_listed_by_name(tmp_path: Path, capsys) -> None:
    record(tmp_path, repo="someone/tripling", cases=[{"id": "T1"}, {"id": "T2"}])
    _, text = outcome(tmp_path, capsys)
    assert "case7 T1" in text and "case7 T2" in text and "2 cannot be run" in text


def test_an_unreadable_manifest_is_a_miss(tmp_path: Path, capsys) -> None:
    record(tmp_path).with_suffix(".json").write_text("{")
    status, text = outcome(tmp_path, capsys)
    assert status == 1 and "case7.json" in text and "not readable" in text


def test_a_tie_that_float32_cannot_tell_is_decided_in_float64(tmp_path: Path, capsys) -> None:
    """0.1 rounded to float32 is larger than 0.1; whatever float64 still denies is a miss."""
    x = torch.tensor([0.1, 0.5])
    for recorded, status, said in (
        ([1.0, 1.0], 0, "ok (a tie)\n1 cases: 1 within tolerance (1 in float64 only), 0 not"),
        ([0.0, 0.0], 1, "NOT OK\n1 cases: 0 within tolerance, 1 not"),
    ):
        tensors = {"in.tie": x, "out.tie": torch.tensor(recorded)}
        record(tmp_path, tensors, settings={"factor": 2, "runs": ["tie"]})
        assert outcome(tmp_path, capsys)[0] == status and said in outcome(tmp_path, capsys)[1]


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_nothing_to_run_is_an_error(folder: str, tmp_path: Path, capsys) -> None:
    status, text = outcome(tmp_path / folder, capsys)
    assert status == 2 and str(tmp_path) in text


def test_nan_and_other_shapes_are_never_within_tolerance() -> None:
    loose = Tolerance(10, 10)
    one = torch.ones(2)
    assert compare(one, one + 1, loose).ok
    assert not compare(one, torch.tensor([1.0, torch.nan]), loose).ok
    assert not compare(one, torch.ones(2, 1), loose).ok


def test_the_largest_of_both_errors_is_shown() -> None:
    """The absolute error of one tensor and the relative one of another; NaN above all."""
    within = Tolerance(1, 1)
    big = compare(torch.tensor([100.0]), torch.tensor([101.0]), within)
    small = compare(torch.tensor([0.1]), torch.tensor([0.2]), within)
    shown = largest([big, small])
    assert (shown.absolute, shown.relative) == (pytest.approx(1), pytest.approx(1))
    broken = compare(torch.ones(1), torch.full((1,), torch.nan), within)
    assert not largest([broken, big]).ok and not largest([big, broken]).ok


def test_tensors_of_stricter_tolerance_are_not_hidden_by_larger_errors() -> None:
    loose = compare(torch.ones(1), torch.full((1,), 1.5), Tolerance(1, 1))
    strict = compare(torch.ones(1), torch.full((1,), 1.1), Tolerance(0.01, 1))
    assert largest([loose, strict]).tolerance == strict.tolerance
