"""D: words and tokens, mappers, word weights and the steps in which words are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import CLIPTokenizer

from data.errors import UserError
from methods.word_aligner import refinement_mapper, replacement_mapper, token_weights, within
from methods.words import Prompt, read_prompt
from tests.parity.compare import Comparison, Tolerance, compare, equal
from tests.parity.families.fatezero.common import word_shares
from tests.parity.recording import CannotRun, Recording
from tests.parity.run import Case

EXACT = Tolerance(1e-7, 1e-7)
SETS = ("tiny", "clip")
Pairs = dict[int, tuple[Prompt, Prompt]]


def aligner_cases(recording: Recording) -> Iterator[Case]:
    """For each vocabulary: one case per pair of prompts and per other table."""
    for name in (name for name in SETS if name in recording.manifest):
        content = recording.manifest[name]
        length = recording.tensors[f"{name}.pair00.refine_mapper"].shape[-1]
        pairs = {p["index"]: _pair(p, length) for p in content["pairs"]}
        tokenizer = _tokenizer(recording, name)
        for p in content["pairs"]:
            yield (
                f"{name}.pair{p['index']:02d}",
                partial(_compare_pair, recording, name, p, pairs[p["index"]], tokenizer),
            )
        for entry in content["equalizers"]:
            yield entry["tensor"], partial(_weights, recording, entry, pairs, tokenizer)
        for entry in content["cross_replace_alpha"]:
            yield entry["tensor"], partial(_shares, recording, entry, pairs[entry["pair"]][1])
        for entry in content["blend_word_layers"]:
            yield entry["tensor"], partial(_blended, recording, entry, pairs[entry["pair"]])


def _pair(recorded: dict[str, Any], length: int) -> tuple[Prompt, Prompt]:
    return tuple(
        Prompt(
            recorded[side],
            tuple(recorded[f"{side}_ids"]),
            tuple(recorded[f"{side}_tokens"]),
            length,
        )
        for side in ("source", "target")
    )


def _tokenizer(recording: Recording, name: str) -> CLIPTokenizer | None:
    """The vocabulary's tokenizer where it was recorded as a folder."""
    place = recording.manifest["tokenizers"][name].split()[0]
    folder = (recording.path.parent / place).resolve()
    return CLIPTokenizer.from_pretrained(folder) if place.startswith("..") else None


def _compare_pair(
    recording: Recording,
    name: str,
    recorded: dict[str, Any],
    pair: tuple[Prompt, Prompt],
    tokenizer: CLIPTokenizer | None,
) -> Iterator[Comparison]:
    tensors, key = recording.tensors, f"{name}.pair{recorded['index']:02d}"
    for prompt, side in zip(pair, ("source", "target"), strict=True):
        for word, tokens in recorded[f"word_inds_{side}"].items():
            yield equal(tokens, prompt.tokens_of(word) if word in prompt.words else [])
        if tokenizer:
            cut = read_prompt(tokenizer, prompt.text)
            yield equal(list(prompt.ids), list(cut.ids))
            yield equal([len(x) for x in prompt.word_tokens], [len(x) for x in cut.word_tokens])
    for one, other in zip(recorded["word_inds_source_by_int"], pair[0].word_tokens, strict=True):
        yield equal(one, other)
    mapper, shares = refinement_mapper(*pair)
    yield equal(tensors[f"{key}.refine_mapper"].flatten().tolist(), mapper.tolist())
    yield compare(tensors[f"{key}.refine_alphas"][0], torch.from_numpy(shares), EXACT)
    try:
        replaced = torch.from_numpy(replacement_mapper(*pair))
    except UserError:
        yield equal([recorded["replace"].startswith("ValueError")], [True])
    else:
        yield compare(tensors[f"{key}.replace_mapper"][0], replaced, EXACT)


def _weights(
    recording: Recording, entry: dict[str, Any], pairs: Pairs, tokenizer: CLIPTokenizer | None
) -> Iterator[Comparison]:
    found = [p for pair in pairs.values() for p in pair if p.text == entry["text"]]
    if not found and tokenizer is None:
        raise CannotRun(f"the tokens of '{entry['text']}' are not recorded")
    prompt = found[0] if found else read_prompt(tokenizer, entry["text"])
    pairs_given = zip(entry["words"], entry["values"], strict=True)
    given = tuple(pair for pair in pairs_given if pair[0] in prompt.words)
    weights = torch.from_numpy(token_weights(prompt, given))
    yield compare(recording.tensors[entry["tensor"]][0], weights, EXACT)


def _shares(recording: Recording, entry: dict[str, Any], target: Prompt) -> Iterator[Comparison]:
    """The table of steps and tokens, row by row as a plan decides it."""
    n = entry["num_steps"] + 1
    default, words = word_shares(entry["cross_replace_steps"])
    table = np.zeros((n, target.length), np.float32)
    for k, row in enumerate(table):
        row[:] = within(default, n, k)
        for word, *share in words:
            if word in target.words:  # the original passes over words that it does not find
                row[target.tokens_of(word)] = within(tuple(share), n, k)
    recorded = recording.tensors[entry["tensor"]]
    yield compare(recorded.flatten(1), torch.from_numpy(table), EXACT)


def _blended(
    recording: Recording, entry: dict[str, Any], pair: tuple[Prompt, Prompt]
) -> Iterator[Comparison]:
    """Which tokens the blend words are."""
    recorded = recording.tensors[entry["tensor"]]
    for side, prompt in enumerate(pair):
        tokens = prompt.tokens_of_all(entry["blend_words"][side])
        row = torch.zeros(prompt.length)
        row[tokens] = 1
        yield compare(recorded[side].flatten(), row, EXACT)
