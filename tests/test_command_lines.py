"""Command lines whose reader goes away, as ``head`` does, end quietly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "a listing": ["experiments", "list"],
    "a plan": ["experiments", "plan", "quickstart"],
    "clips": ["data", "list", "world"],
    "reports": ["reports", "compare", "quickstart", "quickstart"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_nobody_reads_the_output(command: list[str]) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    run.stdout.close()
    assert run.stderr.read() == ""
    assert run.wait() == 141  # what a shell says of a program that SIGPIPE ended


def test_an_error_is_told_and_its_status_kept() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "experiments", "plan", "quickstrat"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2 and "'quickstart'" in run.stderr
