"""Every mistake in an experiment file is told with file, line, what is allowed and what is near."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mistakes import Mistake, assert_told

MISTAKES: dict[str, Mistake] = {
    "method": ("name: blend", "name: blnd", 13, ["'blnd'", "'blend'", "Allowed:", "same"]),
    "metric": ("mean@pixels", "mean@pixel", 17, ["'mean@pixel'", "'mean@pixels'"]),
    "dataset": (
        "dataset: toys\n    ids: [disc",
        "dataset: toy\n    ids: [disc",
        4,
        ["dataset 'toy'", "'toys'"],
    ),
    "clip": ("[disc, ring]", "[disk, ring]", 5, ["clip 'disk'", "'disc'", "still"]),
    "edit": (
        "ids: [disc, ring]",
        "ids: [disc, ring]\n    edits: [color]",
        6,
        ["'color'", "'colour'", "shape"],
    ),
    "setting": ("n_timesteps: 6", "n_timestep: 6", 14, ["'n_timestep'", "'n_timesteps'"]),
    "axis": ("guidance: [1.0", "guidence: [1.0", 15, ["'guidence'", "'guidance'"]),
    "backbone": ("[toy]", "[toi]", 2, ["backbone 'toi'", "'toy'"]),
    "label": ("[blend, same]", "[blent, same]", 6, ["'blent'", "'blend'"]),
    "key": ("seeds:", "seed:", 16, ["unknown key", "'seeds'"]),
    "range": ("0.5, 1.0]", "0.5, 1.5]", 15, ["share[2]", "1.5 given", "less than or equal to 1"]),
    "type": ("n_timesteps: 6", "n_timesteps: six", 14, ["'six' given", "integer"]),
    "fraction": ("n_timesteps: 6", "n_timesteps: 6.5", 14, ["6.5 given", "integer"]),
    "seed": ("[0, 1]", "[0, -1]", 16, ["seeds[1]", "-1 given", "0 or more"]),
    "seed twice": ("[0, 1]", "[1, 1]", 16, ["given twice"]),
    "value twice": ("[1.0, 3.0]", "[3.0, 3.0]", 15, ["3.0 is given twice"]),
    "frames": ("ids: [disc, ring]", "ids: [disc, ring]\n    frames: 9", 6, ["9 given", "4 frames"]),
    "no frames": ("ids: [disc, ring]", "ids: [disc, ring]\n    frames: 0", 6, ["0 given"]),
    "first": ("ids: [disc, ring]", "first: 12", 5, ["12 given", "3 clips"]),
    "ids and first": ("ids: [disc, ring]", "ids: [disc, ring]\n    first: 1", 4, ["not both"]),
    "labels": ("- name: same\n", "- name: same\n  - name: same\n", 13, ["'same'", "label"]),
    "set twice": ("{n_timesteps: 6}", "{share: 0.1}", 15, ["'share'", "'setting'"]),
    "key twice": ("seeds: [0, 1]", "seeds: [0]\nseeds: [1]", 17, ["seeds", "given twice"]),
    "no edit": ("methods: [same]", "methods: [same, blend]", 8, ["no edits", "'blend' needs one"]),
    "no oracle": (
        "  - name: same\n",
        "  - name: answer\n    label: same\n",
        5,
        ["'shape'", "no known answer"],
    ),
    "prediction": (
        "  - name: same\n",
        "  - name: velocity\n    label: same\n",
        2,
        ["predicts epsilon", "needs velocity"],
    ),
    "missing": ("backbones: [toy]\n", "", 1, ["backbones: required"]),
    "time limit": ("[0, 1]", "[0, 1]\ncell_time_limit: 0", 17, ["cell_time_limit", "0 given"]),
    "no time": ("[0, 1]", "[0, 1]\ncell_time_limit: long", 17, ["'long' given", "number"]),
    "timing": ("[0, 1]", "[0, 1]\ntiming: maybe", 17, ["timing: 'maybe' given"]),
    "not a list": ("[0, 1]", "3", 16, ["seeds", "list"]),
    "nothing": (
        "    methods: [blend, same]\n",
        "    methods: [blend, same]\n    edits: none\n",
        5,
        ["no edits"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_told_with_its_place(name: str, tmp_path: Path) -> None:
    assert_told(MISTAKES[name], tmp_path)
