"""Every recording of the originals beside the repository is met by the families that are built."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import pytest

from tests.parity import families
from tests.parity.run import run_folder


@pytest.mark.slow
@pytest.mark.parametrize("family", [info.name for info in pkgutil.iter_modules(families.__path__)])
def test_every_case_is_within_its_manifests_tolerance(golden: Path, family: str) -> None:
    lines = list(run_folder(golden / family))
    assert lines
    assert not [str(line) for line in lines if not line.ok]
