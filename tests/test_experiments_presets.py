"""A method's named values in a file: ``preset: paper``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import UserError
from experiments.planner import make_plan
from tests.fake_methods import Blend
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment


class Named(Blend):
    """The fake method with presets."""

    presets = {"gentle": {"guidance": 1.5, "share": 0.25}, "wild": {"guidance": 99.0}}


def settings(folder: Path, block: str) -> set[tuple[float, float]]:
    """Guidance and share of every setting that a method block asks for."""
    lines = EXPERIMENT.splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if "n_timesteps" in line)
    text = "".join([*lines[:first], block, *lines[first + 2 :]])
    catalogue = fake_catalogue()
    catalogue = replace(catalogue, methods={**catalogue.methods, "blend": Named()})
    plan = make_plan(write_experiment(folder, text), catalogue)
    chosen = [request.setting for request, _ in plan.rows if request.label == "blend"]
    return {(setting.guidance, setting.share) for setting in chosen}


def test_a_preset_sets_what_is_not_set_otherwise(tmp_path: Path) -> None:
    assert settings(tmp_path, "    preset: gentle\n") == {(1.5, 0.25)}
    own = "    preset: gentle\n    setting: {share: 0.75}\n"
    assert settings(tmp_path, own) == {(1.5, 0.75)}
    axis = "    preset: gentle\n    grid: {guidance: [2.5, 1.5]}\n"
    assert settings(tmp_path, axis) == {(2.5, 0.25), (1.5, 0.25)}


@pytest.mark.parametrize(
    "preset, said",
    [
        ("gentl", "methods[1].preset: unknown preset 'gentl'. Did you mean 'gentle'?"),
        ("wild", "methods[1].preset: 99.0 given; should be less than or equal to 10"),
    ],
)
def test_wrong_presets_are_named_with_their_line(tmp_path: Path, preset: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        settings(tmp_path, f"    preset: {preset}\n")
    assert said in str(error.value) and "toy.yaml:14:" in str(error.value)
