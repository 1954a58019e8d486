"""Files that an editor, YAML or a slip of the pen has made unreadable: one sentence, no trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UserError
from experiments.command_line import main
from experiments.validate import check
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

# content of the file, the line the error names (None: the file as a whole), what it says
FILES = {
    "tab": (EXPERIMENT.replace("    ids", "\tids", 1), 5, "indent with spaces"),
    "colon in text": (EXPERIMENT.replace("Toy sweep", "Toy: sweep"), 1, "in quotes"),
    "bracket left open": (EXPERIMENT.replace("[0, 1]", "[0, 1"), 17, "begun in line 16"),
    "two documents": (EXPERIMENT + "---\n" + EXPERIMENT, 18, "another document"),
    "keys twice": (EXPERIMENT + "seeds: [3]\ntitle: b\n", 19, "'title' is given twice"),
    "nested key twice": (
        EXPERIMENT.replace("{n_timesteps: 6}", "{n_timesteps: 6, n_timesteps: 7}"),
        14,
        "'n_timesteps' is given twice",
    ),
    "unknown anchor": (EXPERIMENT.replace("[still]", "*there"), 8, "undefined alias"),
    "anchor in itself": ("title: &a [*a]\n", 1, "contains itself"),
    "exploding anchors": (LAUGHS, 1, "nested anchors"),
    "too deep": (f"a: {'[' * 3000}{']' * 3000}\n", None, "nested too deeply"),
    "list as key": (EXPERIMENT + "? [a, b]\n: 2\n", 18, "unhashable key"),
    "empty": ("", None, "the file is empty"),
    "only a comment": ("# later\n", None, "the file is empty"),
    "list at the top": ("- a\n", None, "it is a list"),
    "text at the top": ("hello\n", None, "it is text"),
    "no date": (EXPERIMENT.replace("Toy sweep", "2024-13-45"), None, "month"),
    "endless number": (EXPERIMENT.replace("[0, 1]", f"[{'9' * 5000}]"), None, "digits"),
    "control character": (EXPERIMENT.replace("Toy", "T\0y"), None, r"U+0000"),
    "other encoding": (EXPERIMENT.replace("Toy", "Tö").encode("latin-1"), 1, "UTF-8"),
    "picture": (b"\x89PNG\r\n\x1a\n\xff\xfe", 1, "not a text file"),
    "code in a tag": ("title: !!python/object/apply:os.getcwd []\n", 1, "not valid YAML"),
    "UTF-16": (EXPERIMENT.encode("utf-16"), 1, "UTF-8"),
}


@pytest.mark.parametrize("name", FILES)
def test_unreadable_file_is_told_in_a_sentence(name: str, tmp_path: Path) -> None:
    content, line, said = FILES[name]
    path = tmp_path / "toy.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        check(path, fake_catalogue())
    place = f"{path}:{line}: " if line else f"{path}: "
    told = [text for text in str(error.value).splitlines() if text.startswith(place)]
    assert any(said in text for text in told), str(error.value)
    assert len(str(error.value).splitlines()) <= 2  # no dump of the file or the parser's state


# (what is replaced, by what, the line the error names, what the error says)
VALUES = {
    "not a number": ("0.5, 1.0]", ".nan, 1.0]", 15, "nan given; should be"),
    "infinity": ("[1.0, 3.0]", "[.inf, 3.0]", 15, "inf given; should be less"),
    "huge seed": ("[0, 1]", "[1, 99999999999999999999]", 16, "seeds[1]: 9999"),
    "huge count": ("n_timesteps: 6", "n_timesteps: 1000000000000", 14, "1000000000000 given"),
    "yes for a seed": ("[0, 1]", "[yes, 1]", 16, "seeds[0]: True given; should be an integer"),
    "yes for a count": ("n_timesteps: 6", "n_timesteps: on", 14, "True given; should be an intege"),
    "no for a name": ("[toy]", "[no]", 2, "False given; should be text; put it in quotes"),
    "date for a title": ("Toy sweep", "2024-01-05", 1, "put it in quotes"),
    "nothing": ("seeds: [0, 1]", "seeds:", 16, "seeds: nothing given; should be a list"),
    "empty text": ("Toy sweep", '""', 1, "should not be empty"),
    "empty list": ("[toy]", "[]", 2, "should not be empty"),
    "method as text": ("- name: same\n", "- same\n", 12, "'same' given; should be a mapping"),
    "axis as number": ("share: [0.0, 0.5, 1.0]", "share: 0.5", 15, "0.5 given; should be a list"),
    "empty axis": ("share: [0.0, 0.5, 1.0]", "share: []", 15, "an axis needs a value"),
    "fraction": ("n_timesteps: 6", "n_timesteps: 6.5", 14, "6.5 given; should be an integer."),
    "number as key": ("seeds:", "1: 2\nseeds:", 16, "1: unknown key. Allowed: title"),
    "number as setting": ("{n_timesteps: 6}", "{1: 6}", 14, "put it in quotes"),
    "one of few": ("seeds:", "dtype: floot16\nseeds:", 16, "Did you mean 'float16'?"),
    "other alphabet": ("[disc, ring]", "[环, ring]", 5, "unknown clip '环'"),
    "path as dataset": ("dataset: toys", "dataset: ../toys", 4, "dataset '../toys'"),
    "path as backbone": ("[toy]", "[../../toy]", 2, "backbone '../../toy'"),
    "path as clip": ("[disc, ring]", "[../disc, ring]", 5, "clip '../disc'"),
    "exploding grid": (
        "[0.0, 0.5, 1.0], guidance: [1.0, 3.0]",
        f"{[n / 200 for n in range(200)]}, guidance: {[n / 100 for n in range(100)]}",
        13,
        "asks for 20,000 settings; at most 10,000",
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_value_that_yaml_takes_for_something_else(name: str, tmp_path: Path) -> None:
    before, after, line, said = VALUES[name]
    assert before in EXPERIMENT
    path = write_experiment(tmp_path, EXPERIMENT.replace(before, after, 1))
    with pytest.raises(UserError) as error:
        check(path, fake_catalogue())
    assert len(str(error.value).splitlines()) == 1  # nothing follows from it
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert said in str(error.value)


def test_anchors_merges_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    merged = "&s {n_timesteps: 6}\n    label: more\n  - name: blend\n"
    merged += "    setting: {<<: *s, n_timesteps: 7}"
    path = tmp_path / "toy.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + EXPERIMENT.replace("{n_timesteps: 6}", merged).encode())
    rows = check(path, fake_catalogue()).requests
    assert {row.setting.n_timesteps for row in rows if row.label == "blend"} == {7}


@pytest.mark.parametrize("name", ["my sweep", "-x", "größe"])
def test_file_name_that_can_be_no_target(name: str, tmp_path: Path) -> None:
    path = write_experiment(tmp_path, name=name)
    with pytest.raises(UserError, match="becomes a target"):
        check(path, fake_catalogue())


@pytest.mark.parametrize("given", ["", ".", "..", "../toy", "a/../toy.yaml"])
def test_name_that_is_no_experiment(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_experiment(tmp_path)
    assert main(["--folder", str(tmp_path), "validate", given], fake_catalogue()) == 2
    assert "toy" in capsys.readouterr().err


def test_folder_in_place_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "toy.yaml").mkdir()
    assert main(["validate", str(tmp_path / "toy.yaml")], fake_catalogue()) == 2
    assert "a folder, not a file" in capsys.readouterr().err
