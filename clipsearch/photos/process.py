"""One decode worker as its reader sees it: started, asked, timed, killed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import BinaryIO, cast

import clipsearch
from clipsearch.errors import ClipsearchError
from clipsearch.photos import frames
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.messages import setup_header
from clipsearch.types import Preprocess

# -P: the folder the user stands in may hold a numpy.py. -W: warnings have no reader.
WORKER_COMMAND = (sys.executable, "-P", "-W", "ignore", "-m", "clipsearch.photos.worker")
_START_SECONDS = 60.0


class WorkerDiedError(Exception):
    """The worker ended, or was ended, over the photo it had; the message says why."""


class WorkerNotReadyError(ClipsearchError):
    """A worker ended before it had a photo."""


class WorkerProcess:
    """A running worker. One thread asks; another may call `tick` and `kill`."""

    def __init__(
        self, preprocess: Preprocess, limits: ReadLimits, command: Sequence[str] = WORKER_COMMAND
    ) -> None:
        """Start the worker. Raises ClipsearchError when it cannot be started."""
        self._limits = limits
        self._lock = threading.Lock()
        self._left: float | None = None
        self._timed_out = False
        self._process = _start(command)
        self._requests = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        self._setup = setup_header(preprocess, limits)

    def wait_until_ready(self) -> None:
        """Take the worker's greeting. Raises WorkerNotReadyError when it does not come up."""
        try:
            self.ask(self._setup, seconds=_START_SECONDS)
        except WorkerDiedError as error:
            raise WorkerNotReadyError(
                f"the process that reads photos does not start ({error})",
                "Run `python -m clipsearch.photos.worker < /dev/null` to see why",
            ) from error

    def ask(
        self, header: frames.Header, body: bytes = b"", *, seconds: float
    ) -> tuple[frames.Header, bytearray]:
        """Send a message and return the answer, which must come within `seconds`.

        Raises WorkerDiedError; the worker is of no use after that.
        """
        with self._lock:
            self._left = seconds
        try:
            frames.send(self._requests, header, body)
            answer = frames.receive(self._answers)
        except (OSError, ValueError, frames.BrokenFrameError):
            # ValueError: another thread closed the pipes.
            answer = None
        finally:
            with self._lock:
                self._left = None
        if answer is None:
            raise WorkerDiedError(self._why(seconds))
        return answer

    def tell(self, header: frames.Header) -> None:
        """Send a message that has no answer. Raises WorkerDiedError."""
        try:
            frames.send(self._requests, header)
        except (OSError, ValueError) as error:
            raise WorkerDiedError(self._why(0.0)) from error

    def tick(self, seconds: float) -> None:
        """Let `seconds` of the worker's time pass, and kill it when there is none left."""
        with self._lock:
            if self._left is None:
                return
            self._left -= seconds
            if self._left <= 0:
                self._timed_out = True
                self._process.kill()

    @property
    def is_spent(self) -> bool:
        """Whether the worker is dead or dying and has to be replaced."""
        with self._lock:
            return self._timed_out or self._process.poll() is not None

    def kill(self) -> None:
        """End the worker at once, whatever it does. It holds nothing that could be lost."""
        self._process.kill()

    def close(self) -> None:
        """End the worker and wait for it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            try:
                pipe.close()
            except OSError:
                # The last request could not be flushed to a dead worker: nobody waits for it.
                continue

    def _why(self, seconds: float) -> str:
        with self._lock:
            if self._timed_out:
                return f"took over {seconds:g} s"
        try:
            # A worker that hung up ends by itself; one that sent nonsense does not.
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code == -getattr(signal, "SIGXCPU", 0) and code != 0:
            return f"took over {self._limits.seconds:g} s of processor time"
        if code < 0:
            return f"ended its worker with signal {_signal_name(-code)}"
        return f"ended its worker with exit code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            # A group of their own keeps a terminal's Ctrl-C from the workers, also while they
            # are still starting.
            process_group=None if sys.platform == "win32" else 0,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    except OSError as error:
        raise ClipsearchError(
            f"the process that reads photos cannot be started: {error.strerror}",
            "Close other programs or use fewer workers",
        ) from error


def _environment() -> dict[str, str]:
    """The worker's environment: our package importable, one thread, little reserved memory."""
    package_parent = os.path.dirname(os.path.dirname(os.path.abspath(clipsearch.__file__)))
    inherited = os.environ.get("PYTHONPATH")
    path = package_parent if not inherited else os.pathsep.join((package_parent, inherited))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
