"""Attend-and-Excite: smoothing, the neglected word, refinement, and what it does to attention."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest
import torch

from data.clip import Region
from data.errors import UserError
from methods.attend_and_excite import AttendAndExcite
from methods.base import run_cell
from methods.excitation import Smoothing, excite, kernel, maxima, neglect, smooth
from methods.solvers import Stand
from tests.test_methods_run import context, latents_of, make_clip


def test_the_kernel_falls_as_released_and_not_as_a_gaussian() -> None:
    """exp(-1) beside the centre and exp(-2) at the corners for sigma 0.5, before normalising."""
    weights = kernel(Smoothing(0.5, 3))
    assert weights.sum().item() == pytest.approx(1)
    relative = weights / weights[1, 1]
    assert relative[0, 1].item() == pytest.approx(exp(-1)) == relative[1, 0].item()
    assert relative[0, 0].item() == pytest.approx(exp(-2))


def test_smoothing_reflects_the_border_and_keeps_a_plain_map() -> None:
    torch.testing.assert_close(
        smooth(torch.full((4, 4), 0.3), Smoothing()), torch.full((4, 4), 0.3)
    )


def test_the_share_among_words_leaves_out_the_start_token() -> None:
    """Whatever the start token draws, words share 1; attention 0.01 apart is e apart."""
    attention = torch.zeros(2, 2, 5)
    attention[..., 0] = 0.9
    attention[0, 1, 2] = 0.01
    found = maxima(attention, [2, 3], None, last=4)
    assert found[0].item() == pytest.approx(exp(1) / (exp(1) + 2))
    assert found[1].item() == pytest.approx(1 / 3)
    assert neglect(found).item() == pytest.approx(2 / 3)


def test_refinement_moves_until_the_move_after_the_goal_or_twenty_times() -> None:
    losses = {0.0: 0.9, -1.0: 0.5, -2.0: 0.2, -3.0: 0.0}
    seen = []

    def evaluate(x):
        seen.append(x.item())
        return torch.tensor(losses.get(x.item(), 0.9)), torch.tensor([0.5])

    start = torch.zeros(1)
    moved = excite(start, 2.0, evaluate, refine_to=0.7, alter=False)
    assert seen == [0, -1, -2, -3] and moved == -3  # at -2 the goal is met, found after the move
    seen.clear()
    assert excite(start, 2.0, evaluate, refine_to=None, alter=True) == -1 and seen == [0]
    seen.clear()
    never = excite(start - 9, 2.0, evaluate, refine_to=0.7, alter=True)
    assert never == -30 and len(seen) == 21
    seen.clear()
    assert excite(start, 2.0, evaluate, refine_to=0.1, alter=False) == 0 and seen == [0]


def test_without_alterations_it_is_plain_sampling(miniature) -> None:
    plain = latents_of(*context(miniature, "text-to-image"))
    off = {"max_iter_to_alter": 0, "thresholds": ()}
    assert torch.equal(latents_of(*context(miniature, "attend-and-excite", **off)), plain)


def test_moves_get_shorter_and_stop(miniature) -> None:
    """PNDM has one call more than steps; lengths go with the root of a line from 1 to 1/2."""
    plans = AttendAndExcite().plan(AttendAndExcite.Setting(), 2)
    assert len(plans) == 51
    lengths = [p.excitation.step_size for p in plans if p.excitation]
    assert len(lengths) == 25 and lengths[0] == 20
    assert lengths[10] == pytest.approx(20 * (1 - 0.5 * 10 / 50) ** 0.5)
    assert [k for k, p in enumerate(plans) if p.excitation and p.excitation.refine_to] == [
        0,
        10,
        20,
    ]
    assert (plans[0].evaluations, plans[1].evaluations, plans[30].evaluations) == (46, 6, 4)


@pytest.mark.parametrize("scheduler", ["pndm", "lms"])
def test_a_neglected_word_is_attended_to_more(miniature, scheduler: str) -> None:
    method, ctx = context(
        miniature, "attend-and-excite", make_clip(1), scheduler=scheduler, scale_factor=5
    )
    state, plan = method.start(ctx), method.plan(ctx.setting, 1)[0]
    stand = Stand.before(scheduler, miniature, 4, 0)
    positions = method.positions(ctx)
    evaluate = method.evaluation(ctx, positions, plan.excitation, stand)
    before = evaluate(state.latents)[0]
    after = evaluate(method.prepare(ctx, state, plan, stand).latents)[0]
    assert after < before


def test_the_noun_of_each_phrase_is_excited(miniature) -> None:
    """The miniature's tokenizer has a token for every letter."""
    method, ctx = context(miniature, "attend-and-excite")
    assert method.positions(ctx) == [6, 7, 8, 9]  # "disc", of the phrase "blue disc"
    wrong = replace(ctx.edit, layout=(Region("ball", ()),))
    with pytest.raises(UserError, match="'ball' is not in the prompt"):
        run_cell(method, replace(ctx, edit=wrong))


def test_maps_of_a_size_that_is_not_there_are_refused(miniature) -> None:
    method, ctx = context(miniature, "attend-and-excite", attention_res=5)
    with pytest.raises(UserError, match=r"no cross-attention map of 5 x 5.*16 x 16, 8 x 8"):
        run_cell(method, ctx)


def test_thresholds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="a step stands once"):
        AttendAndExcite.Setting(thresholds=((3, 0.1), (3, 0.2)))
