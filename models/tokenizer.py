"""A CLIPTokenizer whose merges make every word of the world one token and read any other text.

Byte-pair merges are learned on the words alone; all 256 bytes stay in the vocabulary, so unknown
words become several tokens and nothing is ever out of vocabulary.
"""

from __future__ import annotations

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
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


def build_tokenizer() -> CLIPTokenizer:
    """The tokenizer, from the word list alone."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, min_frequency=1, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(sorted(set(WORDS)), trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    tokens += dict.fromkeys(left + right for left, right in merges)
    tokens += ["<|startoftext|>", "<|endoftext|>"]  # the end is the highest id: CLIP pools there
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)
