"""Child processes that do not outlive this one.

They stay in this process group, which the parent kills at its end. On Linux the kernel also kills
each when *its parent thread* ends, so all are started from the main thread, which lives longest:
others hand it what to start.
"""

from __future__ import annotations

import ctypes
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1

# How often one server is started again. An apiserver gives up when its repair controllers cannot
# begin within a minute, which happens where several start at once on a busy machine.
RESTARTS_MAX = 3

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """Starts processes and ends them all."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, list[str]] = {}
        self._restarts_left: dict[str, int] = {}
        self._closed = False

    def run_main_thread(self) -> None:
        """Starts what others ask for, until `end`."""
        while (job := self._jobs.get()) is not None:
            job()

    def end(self) -> None:
        self._jobs.put(None)

    def start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        """Starts a server; what it says goes to `<name>.log`."""
        answer: queue.Queue[subprocess.Popen[bytes] | BaseException] = queue.Queue()

        def job() -> None:
            try:
                answer.put(self._start(name, command))
            except BaseException as error:  # handed to the thread that asked
                answer.put(error)

        self._jobs.put(job)
        result = answer.get(timeout=30)
        if isinstance(result, BaseException):
            raise result
        return result

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        if self._closed:
            raise RuntimeError("the world is at its end")
        with open(self._logs / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._logs)},
                preexec_fn=_die_with_parent,
            )
        self._running[name] = process
        return process

    def start_static_pod(self, name: str, command: list[str]) -> None:
        """Starts a server that `restart_ended` starts again, as a kubelet does with a static pod."""
        self._commands[name] = command
        self._restarts_left[name] = RESTARTS_MAX
        self.start(name, command)

    def restart_ended(self, name: str) -> bool:
        """Starts a static pod's server again if it has ended. Returns whether it runs."""
        process = self._running.get(name)
        if process is None or process.poll() is None:
            return process is not None
        if self._restarts_left.get(name, 0) == 0:
            return False
        self._restarts_left[name] -= 1
        self.start(name, self._commands[name])
        return True

    def check(self) -> None:
        """Raises an error with a server's last words if one has ended that is not restarted."""
        # A copy: the main thread starts more of them meanwhile.
        for name, process in self._running.copy().items():
            if process.poll() is not None and self._restarts_left.get(name, 0) == 0:
                said = (self._logs / f"{name}.log").read_text(errors="replace")
                raise RuntimeError(f"{name} ended with {process.returncode}:\n{said[-1500:]}")

    def stop_static_pod(self, name: str) -> None:
        self._restarts_left[name] = 0
        self.stop(self._running[name])

    def stop(self, process: subprocess.Popen[bytes], grace: float = 2.0) -> None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill_all(self) -> None:
        """For the end, when nothing has to be in order any more."""
        self._closed = True
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
        for process in self._running.values():
            process.wait()


# Who was given one may not listen on it yet.
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that was given to nobody before, from below those that
    systems take for connections."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _given:
                _given.add(port)
                return port


def wait_for(what: str, ready: Callable[[], bool], seconds: float) -> None:
    """Looks until it is so; an error that names it when it does not become so."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


def every(seconds: float, what: str, work: Callable[[], None], stop: threading.Event) -> None:
    """Does the work again and again in a thread of its own; an error is said and tried again."""

    def loop() -> None:
        while not stop.wait(seconds):
            try:
                work()
            except Exception as error:  # level-triggered: the next look tries again
                if not stop.is_set():
                    print(f"{what}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    threading.Thread(target=loop, name=what, daemon=True).start()
