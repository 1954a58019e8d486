"""``python -m bench``: run benchmarks by name and print their figures; 1 if a target is missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch

from bench import engine, layout, maps, tokenflow, workflow
from bench.figures import Figure
from bench.networks import SIZES
from data.command_line import end
from data.errors import UserError, unknown

GRIDS = ("tokenflow", "pnp")  # methods whose injection grid is measured
#: What there is, in the order in which it is run; each is given the device.
BENCHMARKS: dict[str, Callable[[str], Iterator[Figure]]] = {
    "evaluations": tokenflow.evaluations,
    **{f"grid/{name}": partial(engine.evaluations, name) for name in GRIDS},
    **{f"grid-time/{name}": partial(engine.elapsed, name) for name in GRIDS},
    "attention/accounting": maps.accounting,
    "attention/places": maps.places,
    **{f"memory/{size.name}": partial(tokenflow.memory, size) for size in SIZES},
    **{f"keyframes/{size.name}": partial(tokenflow.keyframe_pass, size) for size in SIZES},
    "layout/accounting": layout.accounting,
    **{f"layout/{size.name}": partial(layout.guidance_pass, size) for size in SIZES},
    **{f"step/{size.name}": partial(tokenflow.whole_step, size) for size in SIZES},
    "quickstart": workflow.quickstart,
}


def chosen(only: list[str]) -> list[str]:
    """Names of benchmarks: those given, or all below them (``keyframes``); all where none is."""
    for name in only:
        if not any(_below(benchmark, name) for benchmark in BENCHMARKS):
            groups = dict.fromkeys(benchmark.split("/")[0] for benchmark in BENCHMARKS)
            raise unknown("benchmark", name, {**groups, **BENCHMARKS})
    return [b for b in BENCHMARKS if not only or any(_below(b, name) for name in only)]


def _below(benchmark: str, name: str) -> bool:
    return benchmark == name or benchmark.startswith(f"{name}/")


def main(arguments: list[str] | None = None) -> int:
    """Print figures as they come."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args(arguments)
    try:
        names = chosen(options.only)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"on {options.device}, {torch.get_num_threads()} threads, float32")
    missed = 0
    for name in names:
        for figure in BENCHMARKS[name](options.device):
            print(figure, flush=True)
            missed += not figure.met
    print(f"{missed} targets missed" if missed else "every target met")
    return 1 if missed else 0


if __name__ == "__main__":
    end(main)
