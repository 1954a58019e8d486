"""Jobs of a run on this machine start as forks of one process that has loaded their libraries.

Torch and diffusers take some eight seconds of a core to import, and every job of a run would. So
whoever starts a run starts a warm process beside it, which imports what the jobs will need while
data is still being prepared. A job asks it, over a socket that only this user can reach, for a fork
that runs its command on its own terminal, folder and environment, and passes on the status.

Nothing depends on it. A job that finds none (on another node, from another checkout, after a kill)
or asks for more threads than it has runs by itself. The warm process ends with whoever started it,
however that ends, and a fork ends with its job. It has imported and no more: no thread runs in it
and no operation of torch has been done, so that a fork computes what a new process would.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

VARIABLE = "CROSSFRAME_WARM"  # the socket's path, in the environment of a run's jobs
PROJECT = Path(__file__).resolve().parent.parent
HERE = [str(PROJECT), sys.executable]  # a fork stands for a process of the same code and libraries
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
STANDARD = (0, 1, 2)  # standard input, output and error
TASKS = Path("/proc/self/task")  # this process's threads, Python's and others


def start(modules: Iterable[str], code: str) -> subprocess.Popen[bytes] | None:
    """Start a warm process for the jobs of this one; None where forks are not to be trusted.

    It loads project ``modules`` and serves nobody unless they have the digest ``code``, which the
    caller planned with. It ends when the caller does, or drops what is returned.
    """
    os.environ.pop(VARIABLE, None)  # of a run that this one is a job of
    if not TASKS.is_dir():  # a system on which nobody can tell whether threads run
        return None
    try:
        path = Path(tempfile.mkdtemp(prefix="crossframe-")) / "warm"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()  # jobs that are early wait, no longer than they would import
            return _started(path, listener, [code, *modules])
    except OSError:  # say, a temporary folder that is full or has too long a name for a socket
        return None


def _started(path: Path, listener: socket.socket, rest: list[str]) -> subprocess.Popen[bytes]:
    number = listener.fileno()
    started = subprocess.Popen(
        [sys.executable, "-m", "experiments.warm", str(path), str(number), *rest],
        env=os.environ | THREADS,
        pass_fds=[number],
        stdin=subprocess.PIPE,  # never written to: it closes with its last holder, this process
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # a job that cannot import says so itself
    )
    os.environ[VARIABLE] = str(path)
    weakref.finalize(started, shutil.rmtree, path.parent, ignore_errors=True)  # if it is killed
    return started


def handed_over(arguments: Sequence[str]) -> int | None:
    """The status of a command that a fork has run, or None: run it here."""
    path = os.environ.get(VARIABLE)
    threads = arguments[arguments.index("--threads") + 1 :][:1] if "--threads" in arguments else []
    if not path or threads not in ([], ["1"]):
        return None
    job = {"here": HERE, "arguments": arguments, "cwd": str(Path.cwd()), "env": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(path)
            socket.send_fds(link, [b"\n"], STANDARD)
            talk = link.makefile("rw", encoding="utf-8")
            print(json.dumps(job), file=talk, flush=True)
            if not talk.readline():
                return None
        except OSError:
            return None
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the fork is told of it too, and says where
        with contextlib.suppress(OSError):
            if status := talk.readline():
                return int(status)
    print("the process that ran this job was killed", file=sys.stderr)
    return 128 + signal.SIGKILL


def serve(listener: socket.socket, code: str, modules: Sequence[str]) -> socket.socket | None:
    """Fork for every job until whoever started this is gone. In a fork: the link to its job."""
    from experiments.resident import held_pages, hold_pages

    if not _load(modules, code):
        return None
    pages = held_pages()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for forks that have ended
    while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
        link, _ = listener.accept()
        if not os.fork():
            hold_pages(pages)
            return link
        link.close()
    return None


def code_of(modules: Sequence[str]) -> str:
    """Digest of all project code that some methods and metrics use."""
    from experiments.code_digest import code_digest

    return code_digest(modules, PROJECT, follow_into=("metrics",))


def _load(modules: Sequence[str], code: str) -> bool:
    """Import modules and what they use; whether forks can then do as new processes would."""
    from experiments.catalogue import project_catalogue
    from experiments.code_digest import modules_used

    gc.disable()
    for name in modules_used(modules, PROJECT, follow_into=("metrics",)):
        importlib.import_module(name)
    for name in ("experiments.command_line", "experiments.runner", "experiments.score"):
        importlib.import_module(name)
    project_catalogue()
    gc.freeze()  # or the first collection in every fork would copy the pages of all that is loaded
    gc.enable()
    return code_of(modules) == code and len(list(TASKS.iterdir())) == 1


def _run_job(link: socket.socket) -> None:
    """Become the job that asks for it, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, *_ = socket.recv_fds(link, 1, len(STANDARD))
    talk = link.makefile("rw", encoding="utf-8")
    job = json.loads(talk.readline())
    if job["here"] != HERE:
        return
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    for given, standard in zip(descriptors, STANDARD, strict=True):
        os.dup2(given, standard)
        os.close(given)
    print("taken", file=talk, flush=True)
    threading.Thread(target=_end_with, args=(link,), daemon=True).start()
    print(_status(job["arguments"]), file=talk, flush=True)


def _end_with(job: socket.socket) -> None:
    """End at once when the job that this process runs for is gone."""
    with contextlib.suppress(OSError):  # a reset, where it left something unread
        job.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


def _status(arguments: Sequence[str]) -> int:
    """Run a command to the status that a process of its own would have ended with."""
    from data.command_line import end
    from experiments.code_digest import forget
    from experiments.command_line import main

    forget()
    try:
        end(lambda: main(arguments))
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        _flush(sys.stderr)


def _flush(stream: IO[str]) -> None:
    with contextlib.suppress(OSError):
        stream.flush()


def _main(path: Path, listener: socket.socket, code: str, modules: Sequence[str]) -> None:
    link = None
    try:
        with listener:
            link = serve(listener, code, modules)
    finally:
        if link is None:
            shutil.rmtree(path.parent, ignore_errors=True)
    if link:
        try:
            _run_job(link)
        finally:
            os._exit(0)  # its status is told; libraries take long to tidy up what dies anyway


if __name__ == "__main__":
    _main(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), sys.argv[3], sys.argv[4:])
