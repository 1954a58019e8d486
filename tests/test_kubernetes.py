"""What can be known of the profile for Kubernetes and of the container without a cluster."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_every_setting_of_a_profile_is_one_that_snakemake_and_its_executor_know(name: str) -> None:
    """By their own parsers: a misspelt key would be an error only on the cluster."""
    from snakemake.cli import get_argument_parser
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

    given = profile(name)
    known = {
        option.lstrip("-")
        for action in get_argument_parser()._actions
        for option in action.option_strings
    }
    plugin = ExecutorPluginRegistry().get_plugin(given["executor"])
    own = {f"{name}-{field.name.replace('_', '-')}" for field in fields(plugin.settings_cls)}
    assert {key for key in given if key.startswith(f"{name}-")} <= own
    assert given.keys() <= known | own
    assert not plugin.common_settings.local_exec
    assert "devices=allotted" in given["config"] and given["retries"] > 0


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_no_job_of_a_sweep_needs_more_than_one_core_of_a_node(name: str) -> None:
    """A cluster lets a job that fits no node wait, and says so only to those who ask."""
    here = {}
    for path in ("data", "run", "show"):
        text = (ROOT / "experiments" / "rules" / f"{path}.smk").read_text()
        for rule, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.M | re.S):
            asked = re.search(r"^    threads: (\d+)$", body, re.M)
            here[rule] = int(asked[1]) if asked else 1
    there = dict(item.split("=") for item in profile(name)["set-threads"])
    assert {"prepare", "shard", "score", "report"} <= here.keys() and there.keys() <= here.keys()
    many = {rule for rule, cores in here.items() if cores > 1}
    assert {rule: int(cores) for rule, cores in there.items()} == dict.fromkeys(many, 1)


def test_a_pod_with_a_gpu_has_a_limit_of_it_and_of_memory() -> None:
    """Kubernetes refuses a request for GPUs without a limit; the executor sets limits unless it
    may ``scale``, and refuses a GPU of no named manufacturer."""
    asked = dict(item.split("=", 1) for item in profile("kubernetes")["default-resources"])
    assert asked["scale"] == "0" and asked["gpu_manufacturer"] == "nvidia"


def test_the_container_builds_the_locked_environment() -> None:
    text = (ROOT / "Containerfile").read_text()
    steps = re.sub(r"\\\n", " ", text)
    base = re.search(r"^FROM \S*python:(\d+\.\d+)-", steps, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert base and f"{base[1]}.0" in SpecifierSet(project["requires-python"])
    assert f"--python-version {base[1]} " in (ROOT / "Makefile").read_text()  # the lock's own
    assert "uv pip sync" in steps and "--require-hashes" in steps
    copied = re.findall(r"^COPY (\S+)", steps, re.MULTILINE)
    assert copied == ["requirements.lock"]
    ignored = (ROOT / ".containerignore").read_text().split()
    assert ignored == ["*", "!requirements.lock"]  # no weights and no results in the image
    pattern = re.search(r"sed -n '([^']*)'", text)
    assert pattern and pattern[0] in (ROOT / "Makefile").read_text().replace("$$", "$").replace(
        "\\\n", ""
    )
    assert "snakemake-executor-plugin-slurm==" in (ROOT / "requirements.lock").read_text()
    assert "snakemake-executor-plugin-kubernetes==" in (ROOT / "requirements.lock").read_text()
