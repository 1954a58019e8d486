"""A real sshd on loopback: its own port, host key and user key, gone with the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile {folder}/sshd.pid
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Server:
    """Where it listens, and the key that opens it."""

    port: int
    key: Path

    def url(self, folder: Path) -> str:
        return f"ssh://127.0.0.1:{self.port}{folder}"


def _binary() -> str:
    """The path of sshd, from Debian's package where this machine may install it; else skip."""
    places = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    found = shutil.which("sshd", path=places)
    # Where an init system runs, installing would start a service that nobody asked for.
    disposable = os.geteuid() == 0 and not Path("/run/systemd/system").exists()
    if found is None and disposable and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["install", "-y", "--no-install-recommends", "openssh-server"]
        for arguments in (["update"], install):
            subprocess.run(
                ["apt-get", "-qq", *arguments], env=quiet, capture_output=True, check=False
            )
        found = shutil.which("sshd", path=places)
    if found is None:
        pytest.skip("no sshd on this machine, and none could be installed (openssh-server)")
    return found


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """An sshd for the length of the block; ``folder`` holds its keys and log."""
    binary = _binary()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it confines itself before a login
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder))
    log = folder / "sshd.log"
    command = [binary, "-D", "-f", str(folder / "sshd_config"), "-E", str(log)]
    with subprocess.Popen(command) as server:
        try:
            _wait_for(port, server, log)
            yield Server(port, folder / "user_key")
        finally:
            server.terminate()


def _wait_for(port: int, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            pytest.skip(f"sshd does not run here: {log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"sshd does not answer: {log.read_text()}")
