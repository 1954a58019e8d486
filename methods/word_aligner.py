"""How the tokens of a target prompt draw on those of the source (Hertz et al. 2022, section 3.2).

As released at https://github.com/google/prompt-to-prompt, its handling of sequence ends included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.errors import UserError
from methods.words import Prompt

if TYPE_CHECKING:
    from torch import Tensor

GAP, MATCH, MISMATCH = 0, 1, -1  # scores of the global alignment


def replacement_mapper(source: Prompt, target: Prompt) -> np.ndarray:
    """(L, L): the share of each source token (row) in each target token (column), word for word.

    Equal words keep their tokens. A changed word's tokens are paired where both sides have as many,
    else every target token takes from all source tokens alike. Past the last changed word the
    released program pairs equal positions, even where the prompts are shifted by then.

    :class:`UserError` unless both prompts have as many words.
    """
    if len(source.words) != len(target.words):
        raise UserError(
            "attention replacement pairs the prompts word by word, but "
            f"'{source.text}' has {len(source.words)} words and '{target.text}' has "
            f"{len(target.words)}; use controller refine, or auto, which refines such prompts."
        )
    mapper = np.zeros((source.length, target.length), np.float32)
    i = j = 0  # up to where the sequences are done
    words = zip(source.words, target.words, strict=True)
    for n in (n for n, (old, new) in enumerate(words) if old != new):
        rows, columns = source.word_tokens[n], target.word_tokens[n]
        if not rows or not columns:
            raise UserError(f"word {n + 1} of '{source.text}' or '{target.text}' has no token.")
        between = np.arange(rows[0] - i)
        mapper[i + between, j + between] = 1
        if len(rows) == len(columns):
            mapper[rows, columns] = 1
        else:
            mapper[np.ix_(rows, columns)] = 1 / len(columns)
        i, j = i + len(between) + len(rows), j + len(between) + len(columns)
    rest = j + np.arange(source.length - max(i, j))
    mapper[rest, rest] = 1
    return mapper


def refinement_mapper(source: Prompt, target: Prompt) -> tuple[np.ndarray, np.ndarray]:
    """For each of L target tokens: its source token (int64), and 1 where it has one (float32).

    Tokens are aligned globally (Needleman and Wunsch 1970); new ones have -1 and 0.
    """
    mapper = np.arange(target.length)
    shares = np.ones(target.length, np.float32)
    table, x, y = _scores(source.ids, target.ids), source.ids, target.ids
    i, j = len(x), len(y)
    while j:
        if i == 0 or table[i, j] == table[i, j - 1] + GAP:
            j -= 1
            mapper[j], shares[j] = -1, 0
        elif table[i, j] == table[i - 1, j] + GAP:
            i -= 1
        else:
            i, j = i - 1, j - 1
            mapper[j] = i
    return mapper, shares


def _scores(x: tuple[int, ...], y: tuple[int, ...]) -> np.ndarray:
    """Best alignment scores of all pairs of beginnings."""
    table = np.zeros((len(x) + 1, len(y) + 1), int)
    table[0] = GAP * np.arange(len(y) + 1)
    table[:, 0] = GAP * np.arange(len(x) + 1)
    for i, a in enumerate(x, start=1):
        for j, b in enumerate(y, start=1):
            pair = table[i - 1, j - 1] + (MATCH if a == b else MISMATCH)
            table[i, j] = max(table[i, j - 1] + GAP, table[i - 1, j] + GAP, pair)
    return table


@dataclass(frozen=True, eq=False)
class Replacement:
    """Target maps from the source's, word for word."""

    mapper: Tensor  # (L, L)

    def __call__(self, source: Tensor, own: Tensor) -> Tensor:
        """Maps (..., queries, L)."""
        return source @ self.mapper.to(source)


@dataclass(frozen=True, eq=False)
class Refinement:
    """The source's maps for tokens that it has, the target's own for new ones."""

    mapper: Tensor  # (L,) int64
    shares: Tensor  # (L,)

    def __call__(self, source: Tensor, own: Tensor) -> Tensor:
        """Maps (..., queries, L)."""
        shares = self.shares.to(source)
        return source[..., self.mapper.to(source.device)] * shares + own * (1 - shares)


def align(source: Prompt, target: Prompt, controller: str) -> Replacement | Refinement:
    """``replace``, ``refine``, or ``auto``: replace where both prompts have as many words."""
    import torch

    alike = len(source.words) == len(target.words)
    if controller == "replace" or (controller == "auto" and alike):
        return Replacement(torch.from_numpy(replacement_mapper(source, target)))
    return Refinement(*map(torch.from_numpy, refinement_mapper(source, target)))


def token_weights(target: Prompt, weights: tuple[tuple[str, float], ...]) -> np.ndarray:
    """(L,) factors of the target's tokens: 1, or the weight given to the token's word."""
    factors = np.ones(target.length, np.float32)
    for word, weight in weights:
        factors[target.tokens_of(word)] = weight
    return factors


def within(share: tuple[float, float], n: int, k: int) -> bool:
    """Whether index ``k`` lies in a part of ``n``, both ends rounded down as released."""
    return int(share[0] * n) <= k < int(share[1] * n)
