"""clipsearch with a decoder that some photos make end the whole run, not only its worker.

`python -m tests.fault.interruption.poison ARGUMENTS`; such photos end with POISON.
"""

import os
import signal
import sys
from typing import Any

from clipsearch.cli.program import run
from clipsearch.photos import worker
from clipsearch.photos.reading import PhotoReader

POISON = b"POISON"
WORKER = "worker"


def main() -> int:
    if sys.argv[1:] == [WORKER]:
        serve()
        return 0
    command = (sys.executable, "-P", "-m", "tests.fault.interruption.poison", WORKER)
    defaults = PhotoReader.__init__.__kwdefaults__
    assert defaults is not None
    defaults["command"] = command
    return run(sys.argv[1:])


def serve() -> None:
    real = worker.decode

    def decode(data: bytes, *rest: Any, **more: Any) -> Any:
        if data.endswith(POISON):
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
        return real(data, *rest, **more)

    worker.decode = decode
    worker.main()


if __name__ == "__main__":
    sys.exit(main())
