"""Check an experiment file whole before anything runs; it leaves nothing behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError, unknown
from experiments.catalogue import Catalogue
from experiments.cells import Request
from experiments.legible import read_experiment
from experiments.requests import Resolver
from experiments.schema import Experiment
from experiments.yaml_source import read_yaml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Checked:
    """An experiment in which every name exists and every value is in range."""

    name: str
    path: Path
    experiment: Experiment
    requests: list[Request]
    missing: tuple[str, ...] = ()  # weights and clips to fetch before a run


def check(path: Path, catalogue: Catalogue) -> Checked:
    """Read and check an experiment.

    Raises one UserError that lists every problem as ``file:line: key: what is wrong``.
    """
    source = read_yaml(path)
    experiment = read_experiment(source)
    requests = Resolver(source, experiment, catalogue).requests() if experiment else []
    if experiment and not requests and not source.problems:
        source.problem((), "asks for nothing: no method is meant for any clip.")
    if not _NAME.fullmatch(path.stem):
        source.problem(
            (),
            f"the file's name, '{path.stem}', becomes a target and a folder: only letters a-z, "
            "digits, '-', '_' and '.' can be in it, the first a letter or digit.",
        )
    source.raise_problems()
    return Checked(path.stem, path, experiment, requests, tuple(source.missing))


def experiment_path(name: str, folder: Path) -> Path:
    """The file of an experiment given by name or by path.

    Raises UserError naming the nearest experiment if there is no such file.
    """
    given = Path(name)
    if given.suffix in (".yaml", ".yml") or len(given.parts) > 1:
        if not given.is_file():
            what = "a folder, not a file" if given.is_dir() else "no such file"
            raise UserError(
                f"{given}: {what}. Experiments of this project: "
                f"{', '.join(sorted(path.stem for path in folder.glob('*.yaml')))}."
            )
        return given
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise unknown("experiment", name, sorted(p.stem for p in folder.glob("*.yaml")))
    return path
