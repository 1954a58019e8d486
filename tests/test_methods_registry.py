"""Methods as the planner sees them: found by file, typed, planned without torch."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from pydantic import ValidationError

from data.errors import UserError
from methods.ddim import STABLE_DIFFUSION
from methods.registry import get_method, method_names
from methods.solvers import SOLVERS
from methods.text_sampling import TextSampler


def test_first_line_of_methods_is_there() -> None:
    expected = {"oracle", "pnp", "reconstruct", "sdedit", "source", "tokenflow"}
    assert expected <= set(method_names())


def test_planning_never_imports_torch() -> None:
    code = (
        "import sys\n"
        "from methods.registry import get_method, method_names\n"
        "for name in method_names():\n"
        "    method = get_method(name)\n"
        "    method.plan(method.Setting(), 8)\n"
        "    method.inversion(method.Setting(), 'a prompt')\n"
        "from methods.backbones import backbone_names, get_backbone_info\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'tokenflow'"):
        get_method("tokenflw")


@pytest.mark.parametrize("name", method_names())
def test_every_method_says_what_it_is(name: str) -> None:
    method = get_method(name)
    module = sys.modules[type(method).__module__]
    assert method.name == name and method.paper and module.__doc__
    for field, info in method.Setting.model_fields.items():
        assert info.description, f"{name}.{field} has no description"
        assert not info.is_required(), f"{name}.{field} has no default"
        if info.annotation in (int, float):
            bounds = {type(limit).__name__ for limit in info.metadata}
            assert {"Le"} <= bounds and bounds & {"Ge", "Gt"}, f"{name}.{field} has no range"


@pytest.mark.parametrize("name", method_names())
def test_presets_are_settings_that_differ_from_the_default(name: str) -> None:
    method = get_method(name)
    default = method.Setting()
    for preset, values in method.presets.items():
        assert method.Setting(**values) != default, preset
        assert all(getattr(default, field) != value for field, value in values.items()), preset


@pytest.mark.parametrize("name", method_names())
def test_plans_are_hashable_and_walk_down_to_the_clean_end(name: str) -> None:
    method = get_method(name)
    plans = method.plan(method.Setting(), 10)
    if isinstance(method, TextSampler):  # a solver knows the way, and may take a timestep twice
        setting = method.Setting()
        way = SOLVERS[setting.scheduler].timesteps(setting.n_timesteps)
        assert [plan.timestep for plan in plans] == way == sorted(way, reverse=True)
        assert {plan.timestep for plan in set(plans)} == set(way)
        return
    assert len(set(plans)) == len(plans)
    if "epsilon" not in method.requires.prediction:  # no DDIM: tests of their own
        return
    for plan, following in pairwise(plans):
        assert plan.previous == following.timestep
    assert not plans or plans[-1].previous < 0


@pytest.mark.parametrize("name", ["pnp", "tokenflow"])
def test_injection_stops_where_the_paper_says(name: str) -> None:
    """50 steps: attention in steps 0..24 (981..501), features in 0..39 (981..201)."""
    method = get_method(name)
    plans = method.plan(method.Setting(), 8)
    assert [plan.inject_attention for plan in plans] == [True] * 25 + [False] * 25
    assert [plan.inject_features for plan in plans] == [True] * 40 + [False] * 10
    assert plans[24].timestep == 501 and plans[39].timestep == 201


@pytest.mark.parametrize("name", ["pnp", "tokenflow"])
def test_settings_that_differ_late_share_their_first_plans(name: str) -> None:
    method = get_method(name)
    early = method.plan(method.Setting(n_timesteps=10, n_inversion_steps=10, pnp_f_t=0.4), 8)
    late = method.plan(method.Setting(n_timesteps=10, n_inversion_steps=10, pnp_f_t=0.8), 8)
    assert [a == b for a, b in zip(early, late, strict=True)] == (
        [True] * 4 + [False] * 4 + [True] * 2
    )


def test_noise_kinds_of_sdedit_share_no_start_but_their_later_plans() -> None:
    method = get_method("sdedit")
    own = method.plan(method.Setting(), 8)
    shared = method.plan(method.Setting(shared_noise=True), 8)
    assert own[0] != shared[0] and own[1:] == shared[1:]


def test_inversion_must_pass_through_the_sampling_timesteps() -> None:
    with pytest.raises(ValidationError, match="nearest that does is 20"):
        get_method("pnp").Setting(n_timesteps=20, n_inversion_steps=30)


def test_methods_with_equal_step_counts_share_one_inversion() -> None:
    steps = {"n_timesteps": 50, "n_inversion_steps": 500}
    prompt = {"pnp": {"inversion_prompt": "clip"}}
    specs = {
        get_method(name).inversion(
            get_method(name).Setting(**steps, **prompt.get(name, {})), "a red disc"
        )
        for name in ("pnp", "tokenflow", "reconstruct", "text2video-zero")
    }
    assert len(specs) == 1
    assert specs.pop().save == (*range(1, 1000, 20), 999)


@pytest.mark.parametrize("n, first, last", [(50, 981, 1), (500, 999, 1), (999, 999, 1), (1, 1, 1)])
def test_timesteps_are_leading_with_offset_one(n: int, first: int, last: int) -> None:
    steps = STABLE_DIFFUSION.timesteps(n)
    assert (len(steps), steps[0], steps[-1]) == (n, first, last)


@pytest.mark.parametrize("n", [0, 1000, 5000])
def test_timesteps_that_do_not_fit_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match="1 to 999"):
        STABLE_DIFFUSION.timesteps(n)
