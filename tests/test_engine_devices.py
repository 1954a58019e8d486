"""Shards and devices: who may run where, and what becomes of a device whose holder dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from data.errors import UserError
from experiments import devices, gpus, shard_command
from experiments.command_line import main
from experiments.devices import held, resolve
from experiments.gpus import Gpu
from experiments.planner import make_plan
from experiments.runner import ShardRunner
from experiments.snake import Wanted
from experiments.store import Store
from tests.fakes import EXPERIMENT, fake_catalogue, write_experiment

ROOT = Path(__file__).resolve().parent.parent
HOLDER = """
import sys, time
from pathlib import Path
from experiments.devices import held

names, alone, folder, seconds = sys.argv[1].split(","), sys.argv[2] == "alone", *sys.argv[3:]
with held(names, alone=alone, folder=Path(folder)) as name:
    print(name, time.monotonic(), flush=True)
    time.sleep(float(seconds))
    print(time.monotonic(), flush=True)
"""


def holder(names: str, folder: Path, seconds: float, alone: bool = False) -> subprocess.Popen[str]:
    """A process that holds one of the devices for a while and says when."""
    command = [sys.executable, "-c", HOLDER, names, "alone" if alone else "", str(folder)]
    return subprocess.Popen(
        [*command, str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip


def spans(holders: list[subprocess.Popen[str]]) -> dict[str, list[tuple[float, float]]]:
    """Device: when it was held, in order."""
    found: dict[str, list[tuple[float, float]]] = {}
    for process in holders:
        first, last = process.communicate(timeout=60)[0].splitlines()
        name, start = first.split()
        found.setdefault(name, []).append((float(start), float(last)))
    return {name: sorted(times) for name, times in found.items()}


def most_at_once(times: list[tuple[float, float]]) -> int:
    """How many held a device at the same moment."""
    return max(sum(start <= moment < end for start, end in times) for moment, _ in times)


def test_two_shards_never_hold_one_device(tmp_path: Path) -> None:
    found = spans([holder("a,b", tmp_path, 0.3) for _ in range(6)])
    assert sum(map(len, found.values())) == 6
    assert {name: most_at_once(times) for name, times in found.items()} == {"a": 1, "b": 1}


def test_a_device_named_twice_takes_two_shards(tmp_path: Path) -> None:
    found = spans([holder("a,a", tmp_path, 1.0) for _ in range(4)])
    assert most_at_once(found["a"]) == 2


def test_whoever_is_alone_shares_the_device_with_nobody(tmp_path: Path) -> None:
    """A timing experiment among ordinary shards, on a GPU of two places and on the CPU."""
    for name in ("a,a", "cpu"):
        ordinary = [holder(name, tmp_path, 0.2) for _ in range(3)]
        lonely = holder(name, tmp_path, 0.5, alone=True)
        ((alone,),) = spans([lonely]).values()
        for times in spans(ordinary).values():
            assert all(end <= alone[0] or start >= alone[1] for start, end in times)


def test_the_device_of_a_killed_shard_is_free_at_once(tmp_path: Path) -> None:
    first = holder("a", tmp_path, 60)
    assert first.stdout.readline().startswith("a ")
    second = holder("a", tmp_path, 0)
    time.sleep(0.5)
    assert second.poll() is None  # it waits
    first.send_signal(signal.SIGKILL)
    assert second.communicate(timeout=30)[0].startswith("a ")
    first.wait()


def test_any_number_of_shards_divides_a_cpu(tmp_path: Path) -> None:
    with held(["cpu"], folder=tmp_path), held(["cpu"], folder=tmp_path) as name:
        assert name == "cpu"


@pytest.mark.parametrize(
    ("installed", "visible", "given", "meant"),
    [
        (0, None, "auto", ("cpu",)),
        (2, None, "auto", ("GPU-0", "GPU-1")),
        (2, None, "cpu", ("cpu",)),
        (2, None, "0,0,1", ("GPU-0", "GPU-0", "GPU-1")),
        (3, "2,0", "auto", ("GPU-2", "GPU-0")),
        (3, "2,0", "0", ("GPU-2",)),  # numbers count what is visible
        (3, "GPU-1,-1,0", "auto", ("GPU-1",)),  # the first name that is no GPU ends the list
        (2, "", "auto", ("cpu",)),
        (1, "MIG-7", "auto", ("MIG-7",)),
        (0, None, "left,right", ("left", "right")),
    ],
)
def test_devices_are_known_by_names_that_two_runs_agree_on(
    installed: int,
    visible: str | None,
    given: str,
    meant: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numbers differ with CUDA_VISIBLE_DEVICES and between jobs of a cluster; UUIDs do not."""
    monkeypatch.setattr(gpus, "installed", lambda: [Gpu(f"GPU-{n}", "M") for n in range(installed)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert resolve(given) == meant
    assert devices.on_gpus(meant) == (meant != ("cpu",))


@pytest.mark.parametrize(
    ("given", "said"),
    [("2", "unknown device '2'"), ("GPU-7", "Did you mean 'GPU-"), ("0,cpu", "cpu or auto alone")],
)
def test_a_device_that_is_not_there_is_named(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "installed", lambda: [Gpu(f"GPU-{n}", "M") for n in range(2)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(UserError, match=said):
        resolve(given)


class FakeDriver:
    """NVML of a machine with two GPUs; the second cannot count joules."""

    NVMLError = KeyError

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "NVIDIA H200"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return int(uuid.removeprefix("GPU-"))

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        return {0: 12_500}[handle]  # mJ


def test_gpus_and_their_energy_as_the_driver_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_nvml", FakeDriver)
    assert gpus.installed() == [Gpu("GPU-0", "NVIDIA H200"), Gpu("GPU-1", "NVIDIA H200")]
    assert gpus.energy_counter("GPU-0")() == 12.5  # J
    assert gpus.energy_counter("GPU-1")() is None  # not 0


def test_without_a_driver_there_is_no_gpu_and_no_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_nvml", lambda: None)
    assert gpus.installed() == gpus.visible("0,1") == []
    assert gpus.energy_counter("GPU-0")() is None


@pytest.mark.parametrize(
    ("given", "timing", "places"),
    [("a,a,b", False, 1), ("a,a,b", True, 2), ("a,b", True, 1), ("cpu", True, 0)],
)
def test_snakemake_is_told_how_many_places_a_shard_takes(
    given: str, timing: bool, places: int, tmp_path: Path
) -> None:
    """One, all of a GPU for a timing experiment, none for what runs no network."""
    path = write_experiment(tmp_path, f"{EXPERIMENT}timing: {str(timing).lower()}\n")
    wanted = Wanted(tmp_path, Store(tmp_path / "r"), devices=given, catalogue=fake_catalogue)
    for shard in make_plan(path, fake_catalogue()).shards:
        networks = any(cell.backbone for cell in shard.cells)
        taken = wanted.gpu(SimpleNamespace(digest=shard.id))
        assert taken == (places if networks else 0)
    total = 0 if given == "cpu" else len(given.split(","))
    assert sum(wanted.slots.values()) == total


@pytest.mark.parametrize(
    ("given", "timing", "counted"), [("a,b", "", True), ("a,a", "", False), ("a,a", "yes", True)]
)
def test_a_shard_holds_its_device_while_it_runs(
    given: str, timing: str, counted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And reads joules only of a device that nobody else can be using."""
    locks, seen = tmp_path / "locks", []
    monkeypatch.setattr(shard_command, "held", lambda *a, **k: held(*a, **k, folder=locks))
    monkeypatch.setattr(shard_command, "energy_counter", lambda uuid: lambda: 1.0)
    monkeypatch.setattr(shard_command, "prepare_torch", lambda device, *a, **k: f"torch's {device}")

    def run(self: ShardRunner) -> SimpleNamespace:
        free = devices._take("a", given.split(",").count("a"), False, locks)
        seen.append((self.device, self.meter.energy() is not None, free is None))
        return SimpleNamespace(statuses={})

    monkeypatch.setattr(ShardRunner, "run", run)
    monkeypatch.setattr("experiments.runner.hardware", lambda *a: {})
    path = write_experiment(tmp_path, EXPERIMENT + (f"timing: {timing}\n" if timing else ""))
    shards = make_plan(path, fake_catalogue()).shards
    shard = next(s for s in shards if any(c.backbone for c in s.cells))
    command = ["--results", str(tmp_path / "r"), "shard", str(path), "--id", shard.id]
    assert main([*command, "--devices", given], fake_catalogue()) == 0
    alone = given != "a,a" or bool(timing)
    assert seen == [("torch's a", counted, alone)]
    assert devices._take("a", 1, True, locks) is not None  # free again


def test_a_gpu_that_torch_cannot_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """An error where it was asked for by name; where it was found, the CPU stands in."""
    torch = ModuleType("torch")
    torch.cuda = SimpleNamespace(is_available=lambda: False)
    torch.backends = SimpleNamespace(cudnn=SimpleNamespace())
    torch.set_num_threads = torch.use_deterministic_algorithms = lambda *a, **k: None
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"device 'GPU-1' was asked for.*devices=cpu"):
        shard_command.prepare_torch("GPU-1", 1)
    assert shard_command.prepare_torch("GPU-1", 1, insist=False) == "cpu"
    assert "cannot use GPU GPU-1" in capsys.readouterr().err
    assert shard_command.prepare_torch("cpu", 1) == "cpu"
