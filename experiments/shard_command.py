"""The command that runs one shard in this process: its device, its code, its progress."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from data.errors import UserError
from experiments.catalogue import Catalogue
from experiments.cells import Cell
from experiments.code_digest import PROJECT, forget, modules_used
from experiments.commands import Desk, changed
from experiments.devices import AUTO, CPU, held, on_gpus, resolve
from experiments.estimate import Overview
from experiments.gpus import energy_counter
from experiments.planner import Plan, Shard, code_of, modules_of
from experiments.tickets import weights_around

EVERY = 10.0  # seconds between two lines of overall progress


def run_shard(
    desk: Desk, name: str, shard_id: str, *, devices: str, threads: int, workers: int
) -> int:
    """Run one shard on a free device; failures of cells are rows, not errors."""
    plan = desk.plan_of(name, shard_id)
    plan.require_present()
    shard = plan.shard(shard_id)
    if shard is None:
        raise UserError(changed(f"shard {shard_id}", name))
    # Controls and cells that the store has run no network: no GPU is needed, nor torch loaded.
    missing = tuple(cell for cell in shard.cells if not desk.store.settled(cell.id))
    networks = any(cell.backbone for cell in missing)
    among = resolve(devices) if networks else (CPU,)
    with held(among, alone=plan.experiment.timing) as device:
        if not networks:
            return _run(desk, plan, shard, missing, CPU, threads, workers)
        kind = prepare_torch(device, threads, insist=devices != AUTO)
        # A device that others use too cannot tell whose joules it spent.
        mine = kind != CPU and (plan.experiment.timing or among.count(device) == 1)
        energy = energy_counter(device) if mine else lambda: None
        return _run(desk, plan, shard, missing, kind, threads, workers, energy)


def _run(
    desk: Desk,
    plan: Plan,
    shard: Shard,
    missing: tuple[Cell, ...],
    device: str,
    threads: int,
    workers: int,
    energy: Callable[[], float | None] = lambda: None,
) -> int:
    from experiments.records import Tally
    from experiments.runner import ShardRunner

    if not loaded_as_planned(missing, desk.catalogue):
        raise UserError(changed(f"shard {shard.id}", plan.name))
    overview = Overview(plan.name, weights_around(desk.store, plan, shard), desk.store, workers)
    start, next_line = time.monotonic(), 0.0
    already = {cell.id for cell in shard.cells} - {cell.id for cell in missing}

    def after_cell(tally: Tally) -> None:
        nonlocal next_line
        now = time.monotonic()
        if now > next_line:
            print(overview.line(now - start, set(tally.statuses) - already), flush=True)
            # Looking at 100,000 cells over a network takes long: spend a twentieth of the time.
            next_line = now + max(EVERY, 20 * (time.monotonic() - now))

    runner = ShardRunner(
        plan, shard, desk.store, desk.catalogue, device, threads, after_cell, energy
    )
    tally = runner.run()
    print(overview.line(time.monotonic() - start, set(tally.statuses) - already), flush=True)
    return 0


def prepare_torch(device: str, threads: int, *, insist: bool = True) -> str:
    """Give torch its share of the cores and one device; returns ``cpu`` or ``cuda``.

    A GPU that torch cannot use (its driver is too old, say) is an error if one was asked for, and
    otherwise a warning: the CPU does the work.
    """
    if on_gpus([device]):
        os.environ["CUDA_VISIBLE_DEVICES"] = device  # read when torch first looks for GPUs
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    if not on_gpus([device]):
        return CPU
    if torch.cuda.is_available():
        return "cuda"
    if insist:
        raise UserError(
            f"device '{device}' was asked for, but torch sees no such GPU here; "
            "use --config devices=cpu, or devices=auto for all there are."
        )
    print(f"torch cannot use GPU {device}; running on the CPU", file=sys.stderr)
    return CPU


def loaded_as_planned(cells: Iterable[Cell], catalogue: Catalogue, project: Path = PROJECT) -> bool:
    """Load all code that some cells use; whether it is the code that they are named by.

    Somebody may edit a file between planning and its (lazy) import; the frames of the new code
    would then be kept under the name of the old.
    """
    of_method = {cell.method.name: cell for cell in cells}.values()
    for cell in of_method:
        for name in modules_used(modules_of(cell.method, catalogue), project):
            importlib.import_module(name)
    forget()
    code = code_of(catalogue, project)
    return all(code(cell.method) == cell.identity["code"] for cell in of_method)
