"""The loss alone, on recorded maps, and its gradient with respect to them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from methods.layout_loss import Target, layout_loss
from tests.parity.compare import Comparison, Tolerance, compare
from tests.parity.families.layout.common import boxes, gradients
from tests.parity.recording import Recording
from tests.parity.run import Case

MAPS = 4  # one of the middle block, three of the first decoder block that has any


def loss_cases(recording: Recording) -> Iterator[Case]:
    """One case per loss that the manifest lists."""
    for case in recording.manifest.get("loss_cases", []):
        yield f"loss {case['id']}", partial(_loss, recording, case)


def _loss(recording: Recording, case: dict[str, Any]) -> Iterator[Comparison]:
    tensors, name = recording.tensors, case["id"]
    stated = recording.manifest["tolerance"]
    recorded = [tensors[f"{name}.map{k}"].to(recording.dtype) for k in range(MAPS)]
    leaves = [x.clone().requires_grad_(True) for x in recorded]
    sides = [case["mid"], *(case["up"],) * (MAPS - 1)]
    maps = [x.unflatten(1, (side, side)) for x, side in zip(leaves, sides, strict=True)]
    targets = [
        Target(tuple(tokens), boxes(given))
        for tokens, given in zip(case["pos"], case["bboxes"], strict=True)
    ]
    loss = layout_loss(maps, targets)
    yield compare(tensors[f"{name}.loss"], loss.detach()[None], _absolute(stated["loss"]["atol"]))
    for k, leaf in enumerate(leaves):
        expected = tensors[f"{name}.grad_map{k}_tokens"]
        if targets:
            (found,) = torch.autograd.grad(loss, leaf, retain_graph=True)
        else:
            found = torch.zeros_like(leaf)
            yield compare(torch.zeros(()), torch.tensor(float(loss.requires_grad)), _absolute(0))
        columns = sorted({token for target in targets for token in target.tokens})
        ours = found[..., columns] if targets else torch.zeros_like(expected)
        yield gradients(expected, ours, stated["grad (absmax-relative)"])
        found[..., columns] = 0
        yield compare(torch.zeros_like(found), found, _absolute(0))


def _absolute(atol: float) -> Tolerance:
    return Tolerance(atol, float("inf"))
