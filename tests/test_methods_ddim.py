"""Our closed-form step and timesteps against diffusers' scheduler."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from methods.ddim import STABLE_DIFFUSION, add_noise, move, noise_between
from tests.miniature import SCHEDULER


@pytest.fixture
def scheduler() -> DDIMScheduler:
    return DDIMScheduler(**SCHEDULER)


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, 4, 8, 8, generator=rng) for _ in range(2))


@pytest.mark.parametrize("n", [7, 20, 50, 500, 999])
def test_timesteps_equal_the_schedulers(scheduler: DDIMScheduler, n: int) -> None:
    scheduler.set_timesteps(n)
    assert STABLE_DIFFUSION.timesteps(n) == scheduler.timesteps.tolist()


@pytest.mark.parametrize("n", [20, 50])
@pytest.mark.parametrize("k", [0, 7, -1])
def test_denoising_equals_the_schedulers_step(scheduler, pair, n: int, k: int) -> None:
    latents, noise = pair
    scheduler.set_timesteps(n)
    t = STABLE_DIFFUSION.timesteps(n)[k]
    previous = STABLE_DIFFUSION.previous(t, n)
    target = scheduler.alphas_cumprod[previous] if previous >= 0 else scheduler.final_alpha_cumprod
    ours = move(latents, noise, scheduler.alphas_cumprod[t], target)
    expected = scheduler.step(noise, t, latents).prev_sample
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


def test_inverting_equals_the_inverse_schedulers_step(scheduler, pair) -> None:
    latents, noise = pair
    inverse = DDIMInverseScheduler.from_config(scheduler.config)
    inverse.set_timesteps(50)
    low, high = STABLE_DIFFUSION.timesteps(50)[-4], STABLE_DIFFUSION.timesteps(50)[-5]
    ours = move(latents, noise, scheduler.alphas_cumprod[low], scheduler.alphas_cumprod[high])
    expected = inverse.step(noise, high, latents).prev_sample
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


def test_moving_there_and_back_with_the_same_noise_changes_nothing(scheduler, pair) -> None:
    latents, noise = pair
    low, high = scheduler.alphas_cumprod[301], scheduler.alphas_cumprod[321]
    back = move(move(latents, noise, low, high), noise, high, low)
    torch.testing.assert_close(back, latents, rtol=1e-5, atol=1e-5)


def test_noise_can_be_read_off_noised_latents(scheduler, pair) -> None:
    latents, noise = pair
    noised = add_noise(latents, noise, scheduler.alphas_cumprod[500])
    expected = scheduler.add_noise(latents, noise, torch.tensor([500]))
    torch.testing.assert_close(noised, expected)
    read = noise_between(latents, noised, scheduler.alphas_cumprod[500])
    torch.testing.assert_close(read, noise, rtol=1e-5, atol=1e-5)
