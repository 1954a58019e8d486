"""Words and tokens: which belong together, and what of the source a target's tokens take."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from methods.word_aligner import refinement_mapper, replacement_mapper, token_weights, within
from methods.words import Prompt

LENGTH = 12


def prompt(*pieces: str, text: str = "") -> Prompt:
    """A prompt of one word per argument, cut into pieces at its bars."""
    cut = [piece for word in pieces for piece in word.split("|")]
    words = text or " ".join(word.replace("|", "") for word in pieces)
    ids = tuple(range(100, 102)) + tuple(sum(map(ord, piece)) for piece in cut)
    ids = (ids[0], *ids[2:], ids[1])
    return Prompt(words, ids, ("<begin>", *cut, "<end>"), LENGTH)


def test_a_word_is_all_its_pieces_wherever_it_stands() -> None:
    text = prompt("a", "sun|flow|er", "by", "a", "sea")
    assert text.tokens_of("sunflower") == [2, 3, 4]
    assert text.tokens_of("a") == [1, 6]
    assert text.tokens_of_all(["sea", "by"]) == [7, 5]


def test_a_word_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'sunflowr' is not in the prompt.*Did you mean 'sunf"):
        prompt("a", "sun|flower").tokens_of("sunflowr")


def test_a_word_that_was_cut_off_says_so() -> None:
    with pytest.raises(UserError, match="'sea' has no token: the backbone reads 12"):
        prompt("a", "sun", text="a sun by the sea").tokens_of("sea")


def test_equal_prompts_take_every_token_from_itself() -> None:
    text = prompt("a", "sun|flower", "in", "rain")
    assert np.array_equal(replacement_mapper(text, text), np.eye(LENGTH))
    mapper, shares = refinement_mapper(text, text)
    assert np.array_equal(mapper, np.arange(LENGTH)) and shares.all()


def test_a_replaced_word_of_other_length_shares_its_tokens_evenly() -> None:
    """One token to two, and what follows is shifted up to the last change."""
    source = prompt("a", "cat", "and", "cat", "run")
    target = prompt("a", "tig|er", "and", "dog", "run")
    mapper = replacement_mapper(source, target)
    assert mapper[2, 2] == mapper[2, 3] == 0.5
    assert mapper[3, 4] == mapper[4, 5] == 1  # "and", and "cat" to "dog"
    assert mapper[6, 6] == 1  # past the last change, equal positions as released


def test_replacement_of_prompts_of_other_length_is_refused() -> None:
    with pytest.raises(UserError, match=r"has 2 words and 'a red cat' has 3; use controller ref"):
        replacement_mapper(prompt("a", "cat"), prompt("a", "red", "cat"))


def test_refinement_leaves_new_tokens_alone_and_finds_the_others() -> None:
    mapper, shares = refinement_mapper(prompt("a", "cat"), prompt("a", "red", "cat"))
    assert mapper[:5].tolist() == [0, 1, -1, 2, 3] and shares[:5].tolist() == [1, 1, 0, 1, 1]


def test_weights_are_of_the_words_asked_for_alone() -> None:
    weights = token_weights(prompt("a", "sun|flower"), (("sunflower", 4.0),))
    assert weights.tolist() == [1, 1, 4, 4] + [1] * (LENGTH - 4)


@pytest.mark.parametrize("share, expected", [((0, 0.8), 8), ((0.25, 0.8), 6), ((0, 0), 0)])
def test_shares_of_steps_are_rounded_down_at_both_ends(share, expected: int) -> None:
    """A quarter of ten steps begins at the third."""
    assert sum(within(share, 10, k) for k in range(10)) == expected
