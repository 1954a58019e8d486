"""Step1X-Edit's parts against the library's own and against what they are meant to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

from data.errors import UserError
from methods.backbones.step1x.backbone import resized
from methods.backbones.step1x.connector import Prepared
from methods.backbones.step1x.guidance import guide
from methods.backbones.step1x.layout import SCHEDULER
from methods.backbones.step1x.packing import image_ids, pack, unpack, working_size
from methods.backbones.step1x.quotes import split_quoted
from methods.backbones.step1x.schedule import FlowSchedule, bfloat16, released_time
from tests.step1x_miniature import CONNECTOR, make_network

GRID = (3, 4)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make_network()


def conditions(padding: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Two of six tokens, the first with two and the other with three of padding."""
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]])
    tokens = drawn(2, 6, CONNECTOR["condition_dim"])
    return torch.where(mask[..., None] > 0, tokens, padding), mask


def predicted(network, padding: float, mask_text: bool) -> torch.Tensor:
    target, source = drawn(2, 12, 16, seed=1), drawn(2, 12, 16, seed=2)
    times = torch.tensor([0.3, 0.9])
    return network(target, source, *conditions(padding), times, GRID, mask_text)


@torch.inference_mode()
def test_what_is_prepared_once_gives_the_librarys_refiner(network) -> None:
    embeddings, mask = conditions(padding=3.0)
    times = torch.tensor([0.2, 0.7])
    text, _ = network.connector(embeddings, mask, times)
    expected = network.connector.refiner(embeddings, times * 1000, mask)
    torch.testing.assert_close(text, expected)


@torch.inference_mode()
def test_padding_is_read_by_the_transformer_as_released_and_not_when_masked(network) -> None:
    """The connector keeps padding from the tokens; its rows reach the transformer all the same."""
    assert not torch.allclose(predicted(network, 0.0, False), predicted(network, 3.0, False))
    masked = predicted(network, 0.0, True)
    torch.testing.assert_close(masked, predicted(network, 3.0, True))
    # The second condition, cut to its own tokens and alone, knows of no padding at all.
    embeddings, mask = (x[1:, :3] for x in conditions())
    times = torch.tensor([0.9])
    tokens = drawn(2, 12, 16, seed=1)[1:], drawn(2, 12, 16, seed=2)[1:]
    torch.testing.assert_close(masked[1:], network(*tokens, embeddings, mask, times, GRID))


@torch.inference_mode()
def test_reference_and_target_stand_at_the_same_places() -> None:
    ids = image_ids(GRID)
    assert torch.equal(*ids.chunk(2)) and not ids[:, 0].any()
    expected = FluxPipeline._prepare_latent_image_ids(1, *GRID, "cpu", torch.float32)
    assert torch.equal(ids[:12], expected)


def test_packing_is_the_librarys_and_comes_back() -> None:
    latents = drawn(2, 16, 6, 8)
    packed = pack(latents)
    assert torch.equal(packed, FluxPipeline._pack_latents(latents, 2, 16, 6, 8))
    assert torch.equal(unpack(packed, GRID), latents)


@pytest.mark.parametrize(("steps", "tokens"), [(28, 1024), (5, 24), (50, 4096), (1, 64)])
def test_times_are_the_librarys(steps: int, tokens: int) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(**SCHEDULER)
    mu = 0.5 + (tokens - 256) * (1.15 - 0.5) / (4096 - 256)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), mu=mu)
    times = FlowSchedule().times(steps, tokens)
    torch.testing.assert_close(torch.tensor(times), scheduler.sigmas)
    assert (times[0], times[-1]) == (1.0, 0.0)


def test_rounding_is_torchs_bfloat16() -> None:
    values = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    values = torch.cat([values, torch.tensor([0.0, 1.0, 1 + 2**-8, 1 + 3 * 2**-8])])  # and ties
    assert [bfloat16(v) for v in values.tolist()] == values.bfloat16().tolist()
    seen = [1000 * released_time(v) for v in values.tolist()]
    assert seen == pytest.approx((1000 * values.bfloat16()).tolist())


def test_guidance_is_rescaled_by_the_norm_above_one() -> None:
    uncond = torch.zeros(1, 2, 4)
    cond = torch.tensor([[[0.5, 0, 0, 0], [0, 32, 0, 0]]])
    assert torch.equal(guide(cond, uncond, 6.0), 6 * cond)
    expected = torch.tensor([[[3.0, 0, 0, 0], [0, 6 * 32 / 4, 0, 0]]])  # 32 ** 0.4 = 4
    torch.testing.assert_close(guide(cond, uncond, 6.0, 0.4), expected)


def test_an_image_too_narrow_is_refused() -> None:
    assert working_size(64, 64, 64, 8) == (64, 64)
    with pytest.raises(UserError, match="4000x2 pixels cannot be worked at size 64"):
        working_size(4000, 2, 64)


def test_frames_of_the_working_size_are_not_touched() -> None:
    frames = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    assert resized(frames, (6, 4)) is frames
    assert resized(frames, (3, 2)).shape == (2, 2, 3, 3)


def test_letters_in_late_quotes_come_one_by_one() -> None:
    early, late = "x" * 155, "x" * 156
    assert split_quoted(early + '"ab') == [early + '"ab']
    assert split_quoted(late + "'ab' c") == [late + '"', "\u201ca\u201d", "\u201cb\u201d", '" c']


def test_conditions_stack_and_part() -> None:
    row = Prepared(drawn(1, 6, 24), drawn(1, 24), drawn(1, 12), torch.ones(1, 6, dtype=torch.bool))
    both = Prepared.stack([row, row])
    assert torch.equal(both[1:].tokens, row.tokens) and both.mask.shape == (2, 6)
