"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def miniature_backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a random-weight miniature Stable Diffusion; usable as a backbone's name."""
    from tests.miniature import save_miniature

    return str(save_miniature(tmp_path_factory.mktemp("backbones") / "miniature"))


@pytest.fixture(scope="session")
def miniature(miniature_backbone: str):
    """The miniature, loaded in float32 on the CPU."""
    from methods.backbones import load_backbone

    return load_backbone(miniature_backbone)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden reference tensors beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "golden"
    if not folder.is_dir():
        pytest.skip("golden reference tensors (../shared/golden) are not on this machine")
    return folder
