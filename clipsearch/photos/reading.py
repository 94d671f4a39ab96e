"""Many photos read side by side in disposable processes: order free, memory bounded."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from clipsearch.errors import ClipsearchError, RefusedPhoto
from clipsearch.photos.frames import BrokenFrameError, Header
from clipsearch.photos.in_hand import InHand
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.messages import parse_facts, parse_pixels, parse_stat
from clipsearch.photos.process import (
    WORKER_COMMAND,
    WorkerDiedError,
    WorkerNotReadyError,
    WorkerProcess,
)
from clipsearch.types import FileStat, PhotoProblem, PhotoRead, Preprocess

# Photos read ahead of whoever consumes them: enough for a batch of the encoder, 57 MB at 384 px.
_AHEAD = 128
_TICK_SECONDS = 0.1
# Short memory ends processes that only start; three in a row have another reason.
_STARTS = 3

Known = Callable[[bytes], bool]
_Result = PhotoRead | PhotoProblem
_Job = tuple[bytes, Known]


def nothing_known(_content_hash: bytes) -> bool:
    """The `known` of a reader whose photos are all to be decoded."""
    return False


class PhotoReader:
    """Reads, hashes and decodes photos in `workers` processes.

    Use it as a context manager. The processes start with the first photo and end with the `with`
    block, at the latest a second after it. A photo that kills or hangs its process costs only
    itself: the process is replaced, and nothing of one photo ever travels with another.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        workers: int,
        limits: ReadLimits | None = None,
        *,
        in_hand: InHand | None = None,
        command: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        """`in_hand`, with a slot for each worker, has each photo's name while it is read.

        `command` starts a worker; tests put workers of their own there.
        """
        self._preprocess = preprocess
        self._limits = limits or ReadLimits()
        self._in_hand = in_hand
        self._command = command
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[_Result | BaseException] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._workers_lock = threading.Lock()
        self._running: set[WorkerProcess] = set()
        self._threads = [
            threading.Thread(target=self._work, args=(slot,), name="clipsearch-photos", daemon=True)
            for slot in range(max(1, workers))
        ]
        self._watchdog = threading.Thread(
            target=self._watch, name="clipsearch-photos-clock", daemon=True
        )

    def __enter__(self) -> "PhotoReader":
        for thread in (*self._threads, self._watchdog):
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers, whatever they do, and wait for them. May be called again."""
        self._closed.set()
        with self._workers_lock:
            for worker in self._running:
                worker.kill()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in (*self._threads, self._watchdog):
            if thread.is_alive():
                thread.join()

    def read(self, paths: Iterable[bytes], known: Known) -> Iterator[_Result]:
        """Each photo at the absolute `paths` once, as soon as it is ready.

        `paths` is consumed in the caller's thread and not much faster than the results are.
        `known` is called with a content hash, from other threads; when it answers True the photo
        is not decoded and comes back without facts and pixels. Raises ClipsearchError when no
        worker can be started, and whatever `known` or `paths` raises.

        One call at a time. Stopping early is fine when the reader is closed after it.
        """
        waiting = 0
        for path in paths:
            self._jobs.put((path, known))
            waiting += 1
            while waiting >= _AHEAD or (waiting and not self._results.empty()):
                yield self._next_result()
                waiting -= 1
        for _ in range(waiting):
            yield self._next_result()

    def _next_result(self) -> _Result:
        while True:
            if self._closed.is_set():
                raise ClipsearchError("the photo reader is closed")
            try:
                # With a timeout Ctrl-C is answered on every system.
                result = self._results.get(timeout=0.5)
            except queue.Empty:
                continue
            if isinstance(result, BaseException):
                raise result
            return result

    def _work(self, slot: int) -> None:
        """One worker's thread: take a photo, have it read, hand the result over."""
        worker: WorkerProcess | None = None
        try:
            while (job := self._jobs.get()) is not None and not self._closed.is_set():
                path, known = job
                if worker is not None and worker.is_spent:
                    # It died while it had nothing to do: no photo is to blame.
                    self._stop_worker(worker)
                    worker = None
                if worker is None:
                    worker = self._start_worker()
                with self._on_record(slot, path):
                    result = self._read_one(worker, path, known)
                if worker.is_spent:
                    self._stop_worker(worker)
                    worker = None
                self._results.put(result)
        except BaseException as error:
            # A thread has nobody to raise to: the caller of `read` gets it.
            self._results.put(error)
        finally:
            if worker is not None:
                self._stop_worker(worker)

    def _on_record(self, slot: int, path: bytes) -> AbstractContextManager[None]:
        return self._in_hand.holding(slot, path) if self._in_hand else nullcontext()

    def _read_one(self, worker: WorkerProcess, path: bytes, known: Known) -> _Result:
        """Have one photo read. What goes wrong becomes the problem of this photo alone."""
        stat: FileStat | None = None
        doing = "reading"
        try:
            answer, _ = worker.ask({"read": True}, path, seconds=self._limits.seconds)
            stat = parse_stat(answer)
            if "problem" in answer:
                return _reported(path, stat, answer)
            content_hash = _parse_hash(answer)
            if stat is None:
                raise BrokenFrameError("a photo without a stat")
            if known(content_hash):
                worker.tell({"decode": False})
                return PhotoRead(path, stat, content_hash, None, None)
            doing = "decoding"
            answer, body = worker.ask({"decode": True}, seconds=self._limits.seconds)
            if "problem" in answer:
                return _reported(path, stat, answer)
            facts = parse_facts(answer["facts"])
            pixels = parse_pixels(body, self._preprocess)
            return PhotoRead(path, stat, content_hash, facts, pixels)
        except WorkerDiedError as error:
            return PhotoProblem(path, stat, RefusedPhoto.kind, f"{doing} {error}")
        except (BrokenFrameError, KeyError) as error:
            worker.kill()
            return PhotoProblem(path, stat, RefusedPhoto.kind, f"{doing} gave {error}")

    def _start_worker(self) -> WorkerProcess:
        """A worker that is ready. One that something ended before it was is started again."""
        for _ in range(_STARTS - 1):
            try:
                return self._start_once()
            except WorkerNotReadyError:
                continue
        return self._start_once()

    def _start_once(self) -> WorkerProcess:
        with self._workers_lock:
            if self._closed.is_set():
                raise ClipsearchError("the photo reader is closed")
            worker = WorkerProcess(self._preprocess, self._limits, self._command)
            self._running.add(worker)
        try:
            worker.wait_until_ready()
        except ClipsearchError:
            self._stop_worker(worker)
            raise
        return worker

    def _stop_worker(self, worker: WorkerProcess) -> None:
        worker.close()
        with self._workers_lock:
            self._running.discard(worker)

    def _watch(self) -> None:
        """Count the time of each worker's photo, kill what takes too long.

        Counted in ticks: when this process sleeps (Ctrl-Z, a closed laptop), so does the count.
        """
        before = time.monotonic()
        while not self._closed.wait(_TICK_SECONDS):
            now = time.monotonic()
            with self._workers_lock:
                running = list(self._running)
            for worker in running:
                worker.tick(min(now - before, 10 * _TICK_SECONDS))
            before = now


def _reported(path: bytes, stat: FileStat | None, answer: Header) -> PhotoProblem:
    problem = answer["problem"]
    return PhotoProblem(path, stat, str(problem["kind"]), str(problem["reason"]))


def _parse_hash(answer: Header) -> bytes:
    try:
        content_hash = bytes.fromhex(answer["hash"])
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenFrameError("a hash that cannot be read") from error
    if len(content_hash) != 32:
        raise BrokenFrameError("a hash of another length")
    return content_hash
