"""Jobs that start as forks of a process with their libraries: the same, only sooner."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from experiments import warm
from tests.test_workflow import EXPERIMENT

ROOT = Path(__file__).resolve().parent.parent
MODULES = ["methods.source"]  # loads no torch
pytestmark = pytest.mark.skipif(not warm.TASKS.is_dir(), reason="forks are for Linux")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A warm process of this checkout, which this process's children find."""
    monkeypatch.setenv(warm.VARIABLE, "")
    started = warm.start(MODULES, warm.code_of(MODULES))
    assert started is not None
    yield started
    started.stdin.close()
    started.wait(30)


def job(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """``python -m experiments`` as the rules call it."""
    command = [sys.executable, "-m", "experiments", *map(str, arguments)]
    given = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, text=True, **given)


def done(*arguments: object, **options: object) -> tuple[int, str, str]:
    """Status, output and errors of a job."""
    process = job(*arguments, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def alone(*arguments: object, **options: object) -> tuple[int, str, str]:
    """The same of a job that finds no warm process."""
    return done(*arguments, env=os.environ | {warm.VARIABLE: ""}, **options)


def soon(true: Callable[[], bool]) -> bool:
    """Whether something becomes true within ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@dataclass
class Full:
    """A pipe that is full: a job that prints into it waits until somebody reads."""

    reading: int
    writing: int

    def read(self) -> None:
        os.close(self.writing)
        while os.read(self.reading, 1 << 16):
            pass


@pytest.fixture
def full() -> Iterator[Full]:
    pipe = Full(*os.pipe())
    os.set_blocking(pipe.writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(pipe.writing, b" " * 4096):
            pass
    os.set_blocking(pipe.writing, True)
    yield pipe
    os.close(pipe.reading)


def forks(server: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [child for child in psutil.Process(server.pid).children() if child.is_running()]


@pytest.mark.parametrize("command", ["list", "validate quickstart", "validate none", "--no"])
def test_a_fork_says_and_returns_what_a_process_of_its_own_would(
    server: subprocess.Popen[bytes], command: str
) -> None:
    assert done(*command.split()) == alone(*command.split())


def test_a_fork_works_in_its_jobs_folder_and_environment(
    server: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text("title: 3\n")
    options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    status, _, errors = done("validate", "wrong.yaml", **options)
    assert (status, errors.partition(":")[0]) == (2, "wrong.yaml")


def test_a_job_that_is_early_waits_for_the_libraries(
    server: subprocess.Popen[bytes], full: Full
) -> None:
    process = job("list", stdout=full.writing)
    assert soon(lambda: len(forks(server)) == 1)
    full.read()
    assert process.wait(30) == 0


def test_a_fork_ends_with_its_job(server: subprocess.Popen[bytes], full: Full) -> None:
    process = job("list", stdout=full.writing)
    assert soon(lambda: len(forks(server)) == 1)
    process.kill()
    assert soon(lambda: not forks(server))
    assert server.poll() is None


def test_a_fork_ends_with_a_job_that_has_not_read_what_it_was_told(
    server: subprocess.Popen[bytes], full: Full
) -> None:
    """A socket that is closed on unread words is reset, which is another end than a quiet one."""
    told = {"here": warm.HERE, "arguments": ["list"], "cwd": str(ROOT), "env": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(os.environ[warm.VARIABLE])
        socket.send_fds(link, [b"\n"], [0, full.writing, 2])
        link.sendall(json.dumps(told).encode() + b"\n")
        assert select.select([link], [], [], 60)[0]  # it says that it has taken the job
        time.sleep(0.5)  # and listens for the job's end
    assert soon(lambda: not forks(server))


def test_a_job_fails_when_its_fork_is_killed(server: subprocess.Popen[bytes], full: Full) -> None:
    process = job("list", stdout=full.writing)
    assert soon(lambda: len(forks(server)) == 1)
    forks(server)[0].kill()
    assert process.communicate(timeout=30)[1] == "the process that ran this job was killed\n"
    assert process.returncode == 128 + signal.SIGKILL


def test_jobs_run_by_themselves_once_the_warm_process_is_killed(
    server: subprocess.Popen[bytes], full: Full
) -> None:
    process = job("list", stdout=full.writing)
    assert soon(lambda: len(forks(server)) == 1)
    server.kill()
    server.wait(30)
    assert done("list") == alone("list")
    full.read()
    assert process.wait(30) == 0  # a fork does not end with the process that it came from


def test_a_fork_holds_as_much_memory_as_the_process_that_it_came_from(
    server: subprocess.Popen[bytes], full: Full
) -> None:
    job("list", stdout=full.writing)
    assert soon(lambda: len(forks(server)) == 1)
    held = psutil.Process(server.pid).memory_info().shared
    assert soon(lambda: forks(server)[0].memory_info().shared > 0.95 * held)
    full.read()


def test_it_ends_with_whoever_started_it_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal; from experiments import warm\n"
        f"process = warm.start({MODULES}, warm.code_of({MODULES}))\n"
        "print(process.pid, os.environ[warm.VARIABLE], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    pid, path = run.stdout.split()
    assert soon(lambda: not psutil.pid_exists(int(pid)))
    assert not Path(path).parent.exists()


@pytest.mark.parametrize("wrong", ["code", "another checkout"])
def test_it_serves_no_other_code(
    server: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    if wrong == "code":
        other = warm.start(MODULES, "what was planned with before a file was edited")
        assert warm.handed_over(["list"]) is None
        assert other.wait(30) == 0
    else:
        monkeypatch.setattr(warm, "HERE", ["/elsewhere", sys.executable])
        assert warm.handed_over(["list"]) is None


def test_a_job_with_more_threads_runs_by_itself(server: subprocess.Popen[bytes]) -> None:
    assert warm.handed_over(["score", "quickstart", "--threads", "2"]) is None


@pytest.mark.slow
def test_a_runs_jobs_are_forks_and_nobody_is_left_after_it(
    tmp_path: Path, miniature_backbone: str
) -> None:
    (tmp_path / "experiments").mkdir()
    text = EXPERIMENT.format(backbone=miniature_backbone)
    (tmp_path / "experiments" / "smallest-sweep.yaml").write_text(text)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    profile = ["--workflow-profile", str(ROOT / "profiles" / "default")]
    run = subprocess.Popen(
        [*command, *profile, "--cores", "2", "--", "smallest-sweep"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    warm_ones, seen = {}, set()
    while run.poll() is None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(run.pid).children():
                if "experiments.warm" in child.cmdline():
                    warm_ones[child.pid] = child
                    seen |= {fork.pid for fork in child.children()}
        time.sleep(0.05)
    assert run.returncode == 0
    assert len(warm_ones) == 1
    assert len(seen) >= 4  # shards, scores, table and report, some perhaps too quick to be seen
    assert soon(lambda: not any(process.is_running() for process in warm_ones.values()))
