"""A worker that meets its end over photos which say so: run as a script by test_reading."""

import os
import signal
import sys
import time

from clipsearch.photos import opening, worker

real_decode = opening._decode_as


def decode(name: str, data: bytes, *rest: object) -> object:
    if data.endswith(b"HANG"):
        time.sleep(600)
    if data.endswith(b"SPIN"):
        while True:
            pass
    if data.endswith(b"KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    if data.endswith(b"SEGV"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.endswith(b"EXIT"):
        os._exit(7)
    if data.endswith(b"HUNGER"):
        bytearray(3_000_000_000)
    if data.endswith(b"CHATTER"):
        os.write(1, b"a decoder speaks\n")
        print("and so does Python", flush=True)
    return real_decode(name, data, *rest)  # type: ignore[arg-type]


if __name__ == "__main__":
    if sys.argv[1:] == ["without-extras"]:
        sys.modules["pillow_heif"] = sys.modules["rawpy"] = None  # type: ignore[assignment]
    opening._decode_as = decode  # type: ignore[assignment]
    worker.main()
