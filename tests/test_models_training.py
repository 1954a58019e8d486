"""The training loop: what a kill may not change, and what its workers may not change."""

import pytest
import torch
from torch import nn

from models.training import Recipe, generator, train

RECIPE = Recipe(steps=12, learning_rate=1e-2, warmup=3, ema=0.9, checkpoint_every=4)


def fresh_model() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    for index, parameter in enumerate(model.parameters()):
        parameter.data = torch.randn(parameter.shape, generator=generator(index))
    return model


def batch_loss(model, step, worker, workers):
    """Eight rows a step, split among the workers."""
    rows = torch.randn(8, 5, generator=generator(99, step)).chunk(workers)[worker]
    return (model(rows) - rows.sum(1, keepdim=True)).square().mean()


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(path, loss=batch_loss, *, matrices=False, **kwargs):
    """A model after RECIPE; with ``matrices`` its 2-D weights take orthogonal steps."""
    model = fresh_model()
    orthogonal = [p for p in model.parameters() if matrices and p.ndim == 2]
    return train(model, loss, RECIPE, path, label=path.stem, orthogonal=orthogonal, **kwargs)


@pytest.mark.parametrize("matrices", [False, True])
def test_a_run_stopped_in_the_middle_and_resumed_ends_in_the_same_bits(tmp_path, matrices):
    whole = trained(tmp_path / "whole.pt", matrices=matrices)

    def dies_at_six(model, step, worker, workers):
        if step == 6:
            raise KeyboardInterrupt
        return batch_loss(model, step, worker, workers)

    try:
        trained(tmp_path / "cut.pt", dies_at_six, matrices=matrices)
    except KeyboardInterrupt:
        resumed = trained(tmp_path / "cut.pt", matrices=matrices)
    assert torch.equal(weights(whole), weights(resumed))


def test_two_workers_take_the_same_steps_as_one(tmp_path):
    one, two = trained(tmp_path / "one.pt"), trained(tmp_path / "two.pt", workers=2)
    torch.testing.assert_close(weights(one), weights(two), rtol=1e-4, atol=1e-5)


def test_an_orthogonal_step_moves_a_matrix_along_every_direction_alike(tmp_path):
    """Muon's: all singular values of a first step are near each other; AdamW's are not."""
    before = fresh_model()[0].weight.detach()
    recipe = Recipe(steps=1, learning_rate=1e-2, warmup=0, weight_decay=0.0)
    spreads = []
    for matrices in (False, True):
        model = fresh_model()
        orthogonal = [model[0].weight] if matrices else []
        train(model, batch_loss, recipe, tmp_path / f"{matrices}.pt", label="step",
              orthogonal=orthogonal)  # fmt: skip
        values = torch.linalg.svdvals(model[0].weight.detach() - before)
        spreads.append(values.max() / values.min())
    assert spreads[1] < 3 < spreads[0]


def test_the_loss_of_a_learnable_problem_falls(tmp_path):
    model = fresh_model()
    before = batch_loss(model, 1000, 0, 1).item()
    recipe = Recipe(steps=200, learning_rate=2e-2, warmup=10)
    train(model, batch_loss, recipe, tmp_path / "run.pt", label="fall")
    assert batch_loss(model, 1000, 0, 1).item() < 0.2 * before
