"""Schedulers taken up step by step walk as diffusers' own objects do in one go."""

from __future__ import annotations

import diffusers
import pytest
import torch

from methods.solvers import SOLVERS, Stand
from tests.miniature import SCHEDULER

BETAS = {k: SCHEDULER[k] for k in ("beta_start", "beta_end", "beta_schedule")}
LEADING = BETAS | {"steps_offset": 1, "set_alpha_to_one": False}
THEIRS = {  # as Stable Diffusion's pipelines and the released programs construct them
    "ddim": lambda: diffusers.DDIMScheduler(**LEADING, clip_sample=False),
    "pndm": lambda: diffusers.PNDMScheduler(**LEADING, skip_prk_steps=True),
    "euler": lambda: diffusers.EulerDiscreteScheduler(**BETAS),
    "lms": lambda: diffusers.LMSDiscreteScheduler(**BETAS),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("n", [2, 7, 50, 51])
def test_timesteps_are_planned_as_diffusers_sets_them(name: str, n: int) -> None:
    scheduler = THEIRS[name]()
    scheduler.set_timesteps(n)
    assert SOLVERS[name].timesteps(n) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("name", SOLVERS)
def test_a_walk_with_its_history_in_the_state_is_diffusers_walk(miniature, name: str) -> None:
    """A fixed nonlinear "network"; to the bit, though every step makes the scheduler anew."""
    theirs, n = THEIRS[name](), 7
    theirs.set_timesteps(n)
    x = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    x = y = x * Stand.before(name, miniature, n, 0).start_scale
    history = {}
    for k, t in enumerate(theirs.timesteps):
        stand = Stand.before(name, miniature, n, k, history)
        seen = stand.scaled(x)
        assert torch.equal(seen, theirs.scale_model_input(y, t))
        x, history = stand.step(torch.sin(3 * seen), x)
        y = theirs.step(torch.sin(3 * theirs.scale_model_input(y, t)), t, y).prev_sample
        assert torch.equal(x, y)
        assert all(isinstance(value, torch.Tensor) for value in history.values())


@pytest.mark.parametrize("name", SOLVERS)
def test_latents_start_as_noisy_as_the_schedule_says(miniature, name: str) -> None:
    """Exploding latents: the largest sigma; preserving ones: unit noise. Seen alike by the net."""
    stand = Stand.before(name, miniature, 50, 0)
    expected = stand.sigma.item() if stand.exploding else 1.0
    assert stand.start_scale.item() == pytest.approx(expected)
    unit = stand.scaled(torch.ones(1) * stand.start_scale).item()
    assert unit == pytest.approx(1, abs=5e-3)
    assert 10 < stand.sigma.item() < 16


def separation(name: str, miniature, guidance: float, n: int = 20) -> float:
    """How far apart two starts, one apart, end under a guided network that is known exactly.

    Without text pictures are normal, with it there is one: both networks are linear in the
    latents, and the exact solution brings all starts together.
    """
    ends = []
    for start in (0.0, 1.0):
        x = torch.tensor([[[[start]]]]) * Stand.before(name, miniature, n, 0).start_scale
        history = {}
        for k in range(n):
            stand = Stand.before(name, miniature, n, k, history)
            sigma, _ = stand.sigma, stand.scaled(x)
            uncond, cond = sigma * x / (1 + sigma**2), x / sigma
            x, history = stand.step(uncond + guidance * (cond - uncond), x)
        ends.append(x.item())
    return abs(ends[1] - ends[0])


def test_strong_guidance_is_more_than_the_order_of_lms_bears(miniature) -> None:
    """Why LMS draws other colours than Euler under guidance: its errors grow, in the same field."""
    assert separation("lms", miniature, 3) < 0.01
    assert separation("euler", miniature, 10) < 0.01
    assert separation("lms", miniature, 10) > 1
