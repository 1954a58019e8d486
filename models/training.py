"""One training loop for all embedded models: data-parallel on CPU cores, resumable after a kill.

Step ``k`` draws all its randomness from generators keyed by (seed, k), and a checkpoint holds
weights, averages, optimizer and ``k``: an interrupted run continues as if it had not stopped.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from data.progress import Progress

LossFunction = Callable[[nn.Module, int, int, int], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train."""

    steps: int
    learning_rate: float
    warmup: int = 200
    weight_decay: float = 0.01
    ema: float = 0.0  # 0: no average is kept
    clip_norm: float = 1.0
    checkpoint_every: int = 200

    def rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to 2 % of the learning rate."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def _save(path: Path, state: dict[str, object]) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _replicas(model: nn.Module, workers: int) -> list[nn.Module]:
    """Copies that share the model's parameters and buffers but have gradients of their own."""
    copies = [model]
    for _ in range(workers - 1):
        replica = copy.deepcopy(model)
        for mine, theirs in zip(replica.parameters(), model.parameters(), strict=True):
            mine.data = theirs.data
        copies.append(replica)
    return copies


def _optimizers(
    model: nn.Module, recipe: Recipe, orthogonal: list[nn.Parameter]
) -> list[torch.optim.Optimizer]:
    """AdamW, one fused update, and Muon for the matrices that take its steps."""
    taken = {id(parameter) for parameter in orthogonal}
    same = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    others = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    found = [torch.optim.AdamW(others, betas=(0.9, 0.99), foreach=True, **same)]
    if orthogonal:
        found.append(torch.optim.Muon(orthogonal, adjust_lr_fn="match_rms_adamw", **same))
    return found


def train(
    model: nn.Module,
    loss: LossFunction,
    recipe: Recipe,
    checkpoint: Path,
    *,
    label: str,
    workers: int = 1,
    orthogonal: Iterable[nn.Parameter] = (),
) -> nn.Module:
    """Train a model in place and return it with its averaged weights where an average is kept.

    ``loss(replica, step, worker, workers)`` computes one worker's share of a step's batch. On CPU
    each worker is a thread with a replica and a core of its own: small convolutions do not scale
    over threads, batches do. Matrices in ``orthogonal`` take Muon's steps, as long as AdamW's.
    """
    model.train()
    optimizers = _optimizers(model, recipe, list(orthogonal))
    average = {k: v.detach().clone() for k, v in model.state_dict().items()} if recipe.ema else {}
    first = 0
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        average, first = state["average"], state["step"]
    copies = _replicas(model, workers)
    parameters = [list(replica.parameters()) for replica in copies]
    progress = Progress(label, recipe.steps, done=first)
    smooth = None
    with ThreadPoolExecutor(workers) as pool:

        def share(step: int, worker: int) -> float:
            value = loss(copies[worker], step, worker, workers)
            (value / workers).backward()
            return value.item()

        for step in range(first, recipe.steps):
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = recipe.rate(step)
            shares = list(pool.map(lambda worker, step=step: share(step, worker), range(workers)))
            for others in parameters[1:]:
                for mine, theirs in zip(parameters[0], others, strict=True):
                    if theirs.grad is not None:
                        mine.grad.add_(theirs.grad)
                        theirs.grad = None
            nn.utils.clip_grad_norm_(parameters[0], recipe.clip_norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            decay = min(recipe.ema, (step + 1) / (step + 10))
            for name, value in model.state_dict().items() if average else ():
                if value.is_floating_point():
                    average[name].lerp_(value, 1 - decay)
                else:
                    average[name].copy_(value)
            mean = sum(shares) / workers
            smooth = mean if smooth is None else 0.98 * smooth + 0.02 * mean
            progress.update(1, f"loss {smooth:.4f}")
            if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == recipe.steps:
                _save(
                    checkpoint,
                    {
                        "model": model.state_dict(),
                        "optimizers": [each.state_dict() for each in optimizers],
                        "average": average,
                        "step": step + 1,
                    },
                )
    if average:
        model.load_state_dict(average)
    return model.eval()


def generator(*key: int) -> torch.Generator:
    """A CPU generator keyed by integers."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % (1 << 62)
    return torch.Generator().manual_seed(seed)
