"""The disposable process that reads and decodes photos: `python -m clipsearch.photos.worker`.

It holds nothing that matters. It gives up by dying: over its memory or processor time the system
kills it, over the clock its reader does, and when its reader is gone its input ends.

First message in: the setup. Then, for each photo,

    reader: {"read": true} + path           worker: {"hash": ..., "stat": ...} or {"problem": ...}
    reader: {"decode": true or false}       worker: {"facts": ...} + pixels or {"problem": ...}

The second pair is left out after a problem, the second answer when `decode` is false.
"""

import contextlib
import hashlib
import math
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import BinaryIO

from clipsearch import failpoints
from clipsearch.errors import PhotoError
from clipsearch.photos import formats, frames
from clipsearch.photos.files import FileRead, read_file
from clipsearch.photos.limits import ReadLimits
from clipsearch.photos.messages import facts_header, parse_setup
from clipsearch.photos.opening import decode
from clipsearch.types import PhotoProblem, Preprocess

# The reader gives up first and names the file; this one is for workers whose reader is gone.
_ORPHAN_MARGIN_S = 10


def main() -> None:
    """Answer the reader on standard input and output until it goes away."""
    # Ctrl-C is the reader's business: it ends its workers itself, in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = sys.stdin.buffer
    # Decoders written in C print warnings to standard output too: the messages get a descriptor
    # of their own and everything else goes where standard error goes.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        _serve(requests, answers)
    except (BrokenPipeError, frames.BrokenFrameError):
        return
    finally:
        with contextlib.suppress(OSError):
            answers.close()


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    setup = frames.receive(requests)
    if setup is None:
        return
    preprocess, limits = parse_setup(setup[0])
    _prepare_pillow()
    _limit_memory(limits)
    frames.send(answers, {"ready": True})
    while (request := frames.receive(requests)) is not None:
        if not _answer_photo(bytes(request[1]), preprocess, limits, requests, answers):
            return


def _answer_photo(
    path: bytes,
    preprocess: Preprocess,
    limits: ReadLimits,
    requests: BinaryIO,
    answers: BinaryIO,
) -> bool:
    """Both answers for one photo; False when the reader is gone."""
    with _limited_time(limits):
        read = read_file(path, limits)
    if isinstance(read, PhotoProblem):
        frames.send(answers, _problem(read))
        return True
    content_hash = hashlib.sha256(read.data).hexdigest()
    frames.send(answers, {"hash": content_hash, "stat": asdict(read.stat)})
    decision = frames.receive(requests)
    if decision is None:
        return False
    if decision[0]["decode"]:
        _answer_decoded(path, read, preprocess, limits, answers)
    return True


def _answer_decoded(
    path: bytes,
    read: FileRead,
    preprocess: Preprocess,
    limits: ReadLimits,
    answers: BinaryIO,
) -> None:
    try:
        with _limited_time(limits):
            failpoints.reach("worker_decode")
            facts, pixels = decode(read.data, preprocess, path=path, limits=limits)
    except PhotoError as error:
        problem = PhotoProblem(path, read.stat, error.kind, str(error))
        frames.send(answers, _problem(problem))
        return
    frames.send(answers, {"facts": facts_header(facts)}, pixels.tobytes())


def _problem(problem: PhotoProblem) -> frames.Header:
    stat = asdict(problem.stat) if problem.stat else None
    return {"problem": {"kind": problem.kind, "reason": problem.reason}, "stat": stat}


def _prepare_pillow() -> None:
    """Our own limits in place of Pillow's, and one thread for each decoder."""
    from PIL import AvifImagePlugin, Image

    Image.MAX_IMAGE_PIXELS = None
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    for name in ("JPEG", "PNG"):
        formats.load_plugin(name)


def _limit_memory(limits: ReadLimits) -> None:
    """Let allocations beyond the limit fail. Only where the system can: Linux, mostly."""
    try:
        import resource

        with open("/proc/self/statm", "rb") as status:
            pages = int(status.read().split()[0])
    except (ImportError, OSError):
        return
    most = pages * resource.getpagesize() + limits.memory_bytes
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


@contextlib.contextmanager
def _limited_time(limits: ReadLimits) -> Iterator[None]:
    """Die of the photo at hand when it takes too much processor time, or for ever."""
    try:
        import resource
    except ImportError:
        yield
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(usage.ru_utime + usage.ru_stime + limits.seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))
    signal.setitimer(signal.ITIMER_REAL, limits.seconds + _ORPHAN_MARGIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
