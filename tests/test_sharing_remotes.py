"""Remotes that are real: a folder, and SSH; killed pushes, and copies that went bad."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.code_digest import PROJECT
from tests.sshd import running
from tests.test_sharing import remote_object, spoil
from tests.two_users import User, join, make_project

pytestmark = pytest.mark.slow
LARGE = 64_000_000  # bytes: enough to be on the way for a while
SHARE = (
    "import sys; from pathlib import Path; from tests.two_users import User;"
    "sys.exit(User(Path(sys.argv[1])).says('share', 'toy'))"
)


@pytest.fixture(params=["folder", "ssh"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[User]:
    """A user who has run the experiment, and a remote in ``store/``."""
    (tmp_path / "store").mkdir()
    if request.param == "folder":
        yield _finished(tmp_path, str(tmp_path / "store"))
        return
    with running(tmp_path) as server:
        user = _finished(tmp_path, server.url(tmp_path / "store"))
        login(user, server.key)
        yield user


def _finished(folder: Path, remote: str) -> User:
    user = make_project(folder, remote)
    user.run()
    return user


def login(user: User, key: Path) -> None:
    """Everybody's key is their own: it stands in a file that git ignores."""
    if not key.exists():
        return
    local = user.root / ".dvc" / "config.local"
    local.write_text(f"['remote \"storage\"']\n    keyfile = {key}\n")


def objects(store: Path) -> dict[str, str]:
    """MD5 by the name that an object has at the remote; unfinished ones have other names."""
    files = (path for path in store.rglob("*") if path.is_file() and ".tmp" not in path.name)
    return {
        path.parent.name + path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in files
    }


def test_a_killed_push_is_repeated_and_bad_copies_are_noticed(
    project: User, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = tmp_path / "store"
    (project.report / "media").mkdir()
    (project.report / "media" / "large.webp").write_bytes(os.urandom(LARGE))

    share = subprocess.Popen(
        [sys.executable, "-c", SHARE, str(project.root)], cwd=PROJECT, start_new_session=True
    )
    while share.poll() is None and not any(path.is_file() for path in store.rglob("*")):
        time.sleep(0.005)
    assert share.poll() is None, "it was to be killed on its way"
    os.killpg(share.pid, signal.SIGKILL)
    share.wait()
    # What lies under a final name is whole, and git knows of nothing.
    assert all(name.removesuffix(".dir") == digest for name, digest in objects(store).items())
    assert not (project.root / "results" / "shared").exists()

    assert project.says("share", "toy") == 0
    found = objects(store)
    assert len(found) == 3 and all(name == digest for name, digest in found.items())
    project.commit("Share toy")

    other = join(tmp_path, "second")
    login(other, tmp_path / "user_key")
    capsys.readouterr()
    there, here = remote_object(tmp_path, other, "cells/")
    good = spoil(there)
    assert other.says("pull") == 2
    assert "is damaged" in capsys.readouterr().err
    assert not (other.root / "results" / "cells").exists()
    there.chmod(0o644)
    there.write_bytes(good)
    assert other.says("pull") == 0
    assert other.nothing_to_do()
    assert other.files("results", "reports") == project.files("results", "reports")

    for path in (other.root / "results" / "packs").glob("*.tar"):
        path.unlink()
    spoil(here)
    assert other.says("pull") == 2
    assert "DVC's cache" in capsys.readouterr().err
    assert other.says("pull") == 0
