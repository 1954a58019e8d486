"""pyproject.toml, requirements.lock and environment.yml say the same."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.environment import environment, pins

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()


def test_every_dependency_is_locked_at_a_version_it_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {}
    for pin in map(Requirement, pins(LOCK)):
        locked.setdefault(canonicalize_name(pin.name), []).append(next(iter(pin.specifier)).version)
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        wanted = Requirement(text)
        versions = locked.get(canonicalize_name(wanted.name))
        assert versions, f"{wanted.name} is not in requirements.lock: run `make lock`"
        assert all(version in wanted.specifier for version in versions), text


def test_every_locked_file_has_a_hash_and_the_lock_names_no_index():
    assert LOCK.count("--hash=sha256:") >= len(pins(LOCK))
    assert "://" not in LOCK
    assert "index-url" not in LOCK


def test_environment_yml_is_the_conda_twin_of_the_lock():
    assert (ROOT / "environment.yml").read_text() == environment(LOCK), "run `make lock`"
