"""Mistakes in the toy experiment, and what has to be said of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UserError
from experiments.validate import check
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

# What is replaced, by what, the line the error names, what the error says.
Mistake = tuple[str, str, int, list[str]]


def assert_told(mistake: Mistake, folder: Path) -> None:
    """The mistake is told with file and line, and all that it has to say in one line."""
    before, after, line, said = mistake
    assert before in EXPERIMENT
    path = write_experiment(folder, EXPERIMENT.replace(before, after, 1))
    with pytest.raises(UserError) as error:
        check(path, fake_catalogue())
    lines = str(error.value).splitlines()
    told = [text for text in lines if text.startswith(f"{path}:{line}: ")]
    assert any(all(part in text for part in said) for text in told), str(error.value)
