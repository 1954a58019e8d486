"""DDIM inversion: what it keeps, costs, and that it can be undone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from methods.base import InversionSpec
from methods.inversion import Inversion, evaluations, inversion_spec, invert
from methods.sampling import conditional_noise

SPEC = inversion_spec(10, 5, "a red disc on grass")


@pytest.fixture(scope="module")
def clean(miniature) -> torch.Tensor:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    return miniature.encode(frames)


@pytest.fixture(scope="module")
def inversion(miniature, clean: torch.Tensor) -> Inversion:
    return invert(miniature, clean, SPEC)


def test_keeps_the_sampling_timesteps_and_the_noisiest(inversion: Inversion) -> None:
    assert SPEC.save == (1, 201, 401, 601, 801, 901)
    assert tuple(inversion.latents) == SPEC.save and inversion.noisiest == 901
    assert {x.shape for x in inversion.latents.values()} == {(3, 4, 16, 16)}


def test_costs_what_it_says_and_gives_the_same_twice(miniature, clean, inversion) -> None:
    before = miniature.evaluations
    again = invert(miniature, clean, SPEC)
    assert miniature.evaluations - before == evaluations(SPEC, len(clean)) == 30
    assert all(torch.equal(x, inversion.latents[t]) for t, x in again.latents.items())


def test_equals_diffusers_inverse_scheduler(miniature, clean, inversion: Inversion) -> None:
    """The library's scheduler moves from t to the next timestep with the noise seen at its target;
    driven so, it must give the same latents."""
    scheduler = DDIMInverseScheduler.from_config(miniature.scheduler.config)
    scheduler.set_timesteps(10)
    x, embedding = clean, miniature.embed([SPEC.prompt])
    for t in range(1, 1000, 100):
        noise = conditional_noise(miniature, x, embedding, t)
        x = scheduler.step(noise, t, x).prev_sample
        if t in SPEC.save:
            torch.testing.assert_close(inversion.latents[t], x, rtol=1e-4, atol=1e-4)


class Gaussian:
    """The perfect denoiser of latents drawn from N(0, spread^2): its ODE has a known solution."""

    max_samples = 48

    def __init__(self, scheduler: DDIMScheduler, spread: float) -> None:
        self.alphas, self.variance = scheduler.alphas_cumprod.double(), spread**2

    def alpha(self, timestep: int) -> torch.Tensor:
        return self.alphas[max(timestep, 0)]

    def scale(self, timestep: int) -> torch.Tensor:
        alpha = self.alpha(timestep)
        return (alpha * self.variance + 1 - alpha) ** 0.5

    def embed(self, prompts: list[str]) -> torch.Tensor:
        return torch.zeros(len(prompts), 1, 1)

    def predict(self, latents: torch.Tensor, timestep: int, _: torch.Tensor) -> torch.Tensor:
        return latents * (1 - self.alpha(timestep)) ** 0.5 / self.scale(timestep) ** 2


def test_inversion_converges_to_the_exact_solution(miniature) -> None:
    """Of the probability-flow ODE, with an error that falls with the number of steps."""
    backbone = Gaussian(miniature.scheduler, spread=0.5)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()

    def error(n: int) -> float:
        inversion = invert(backbone, x, inversion_spec(n, n, ""))
        exact = x * backbone.scale(inversion.noisiest) / backbone.scale(0)
        return ((inversion.latents[inversion.noisiest] - exact).norm() / exact.norm()).item()

    assert error(50) < 0.1 and error(500) < error(50) / 5


def test_frames_are_inverted_independently(miniature, clean, inversion: Inversion) -> None:
    alone = invert(miniature, clean[1:2], SPEC)
    torch.testing.assert_close(alone.latents[901], inversion.latents[901][1:2], atol=1e-4, rtol=0)


def test_small_chunks_give_the_same_latents(miniature, clean, inversion: Inversion) -> None:
    chunked = invert(replace(miniature, max_samples=2), clean, SPEC)
    torch.testing.assert_close(chunked.latents[901], inversion.latents[901], atol=1e-4, rtol=0)


def test_saved_and_loaded_bit_for_bit(tmp_path, inversion: Inversion) -> None:
    inversion.save(tmp_path / "x.safetensors")
    loaded = Inversion.load(tmp_path / "x.safetensors")
    assert loaded.spec == SPEC and [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert torch.equal(loaded.clean, inversion.clean)
    assert all(torch.equal(loaded.latents[t], x) for t, x in inversion.latents.items())
    assert loaded.latents.keys() == inversion.latents.keys()


def test_a_timestep_it_never_passes_is_refused(miniature, clean: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="does not pass"):
        invert(miniature, clean, InversionSpec(10, (17,), ""))
