"""A CLIPTokenizer whose merges make every word of the world one token and read any other text.

Byte-pair merges are learned on the words alone; all 256 bytes stay in the vocabulary, so unknown
words become several tokens and nothing is ever out of vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from data.world.vocabulary import COLOURS, GROUNDS, MOTIONS, SHAPES, STYLES

MAX_LENGTH = 24
# The released negative prompts of TokenFlow and PnP, which training treats as "no caption".
NEGATIVE_PROMPTS = (
    "ugly, blurry, low res, unrealistic, unaesthetic",
    "ugly, blurry, black, low res, unrealistic",
)
WORDS = (
    *COLOURS,
    *SHAPES,
    *GROUNDS,
    *STYLES,
    *MOTIONS,
    *("a", "an", "of", "and", "on", "moving"),
    # for instructions, and for the released negative prompts
    *("the", "to", "make", "turn", "into", "change", "move", "from", "with", "in", "at"),
    *("add", "remove", "ugly", "blurry", "black", "low", "res", "unrealistic", "unaesthetic"),
)


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Byte-pair merges until every word is one token; of equally frequent pairs the smallest first.

    ``tokenizers.trainers.BpeTrainer`` breaks such ties differently in every process, and with them
    the ids that a trained text encoder knows its words by.
    """
    pieces = [[*word[:-1], f"{word[-1]}</w>"] for word in sorted(set(words))]
    merges = []
    while counts := Counter(pair for word in pieces for pair in pairwise(word)):
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        pieces = [_merged(word, merges[-1]) for word in pieces]
    return merges


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for piece in word:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def build_tokenizer() -> CLIPTokenizer:
    """The tokenizer, from the word list alone; the same in every process."""
    merges = learn_merges(WORDS)
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    tokens += dict.fromkeys(left + right for left, right in merges)
    tokens += ["<|startoftext|>", "<|endoftext|>"]  # the end is the highest id: CLIP pools there
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)
