"""A SLURM cluster on this machine: a controller and two nodes, all of it in one folder.

Debian's packages allow several nodes on one host. There are no services and no cgroups: the
daemons are started here, and ended here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
NODES = ("one", "two")

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmctldPidFile={root}/state/pid
StateSaveLocation={root}/state
SlurmctldLogFile={root}/state/log
SlurmdPidFile={root}/%n/pid
SlurmdSpoolDir={root}/%n
SlurmdLogFile={root}/%n/log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=3600
KillWait=2
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=16000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=16000
PartitionName=main Nodes=one,two Default=YES MaxTime=120 State=UP
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to submit to it."""
        return os.environ | {
            "SLURM_CONF": str(self.root / "slurm.conf"),
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
        }

    def call(self, *command: str) -> str:
        """What a SLURM command prints."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True
        ).stdout

    def jobs(self, state: str = "all") -> list[tuple[str, str, str]]:
        """(id, state, node) of every job in a state, oldest first."""
        told = self.call("squeue", "--noheader", f"--states={state}", "--format=%i|%T|%N")
        found = [tuple(line.split("|")) for line in told.splitlines()]
        return sorted(found, key=lambda job: int(job[0]))


def why_not() -> str | None:
    """Why there can be no cluster here, or None; installs Debian's packages where it may."""
    if os.geteuid() != 0:
        return "SLURM's daemons are started by root"
    if all(map(shutil.which, PROGRAMS)):
        return None
    if not shutil.which("apt-get"):
        return f"no {' and '.join(PACKAGES)}, and no apt-get to install them"
    run = subprocess.run(
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if run.returncode or not all(map(shutil.which, PROGRAMS)):
        return f"apt-get cannot install {' '.join(PACKAGES)}: {run.stderr.strip()[-200:]}"
    return None


@contextlib.contextmanager
def running(root: Path) -> Iterator[Cluster]:
    """Start a cluster in a folder, wait until its nodes are idle, and end it in the end."""
    cluster = Cluster(root)
    for name in ("munge", "state", "bin", *NODES):
        (root / name).mkdir(parents=True)
    key = root / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    (root / "munge").chmod(0o700)
    host = socket.gethostname().split(".")[0]
    (root / "slurm.conf").write_text(CONF.format(root=root, host=host, ports=_free_ports(3)))
    # Snakemake starts a job's step without SLURM_CONF, as if all clusters had one in /etc/slurm.
    shim = root / "bin" / "srun"
    real = shutil.which("srun")
    shim.write_text(f'#!/bin/sh\nSLURM_CONF={root}/slurm.conf exec {real} "$@"\n')
    shim.chmod(0o755)
    munge = [f"--{name}={root}/munge/{name.split('-')[0]}" for name in ("socket", "pid-file")]
    munge += [f"--key-file={key}", f"--log-file={root}/munge/log", f"--seed-file={root}/munge/seed"]
    try:
        cluster.call("munged", *munge, "--force", "--num-threads=1")
        cluster.call("slurmctld")
        for node in NODES:
            cluster.call("slurmd", "-N", node)
        wait_until(lambda: cluster.call("sinfo", "-h", "-N", "-o", "%T").split() == ["idle"] * 2)
        yield cluster
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            cluster.call("scancel", "--user=root")
        for pid in [
            *(root / node / "pid" for node in NODES),
            root / "state/pid",
            root / "munge/pid",
        ]:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(pid.read_text()), signal.SIGTERM)


def wait_until(condition, seconds: float = 60) -> None:
    """Wait for something to become true; AssertionError if it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
