"""Tables of photos and captions: read, or refused with the number of a line."""

import os
import re
import tempfile

from clipsearch.errors import UsageError
from clipsearch.pairs.tables import read_table
from tests.fuzz.driving import main

SEEDS = [
    b'Cimage,caption\na.jpg,a cat\nb.jpg,"two\nlines"\n',
    b"Cfilepath,title\na.jpg,x\n",
    b"Cimage,label\na.jpg,cat\n",
    b"Cimage#caption\n1.jpg#0,x\n",
    b"Timage\tcaption\na.jpg\tx\n",
    b"Xa.jpg\ta cat\nb.jpg#1\tb\n",
    b"Xa.jpg, a cat\n",
    b'J{"image": "a.jpg", "caption": "x"}\n',
    b'J{"image": "a.jpg", "captions": ["x", "y"]}\n[1]\n',
    b'J{"image": "a.jpg", "caption": 1e999}\n',
    b'J{"image": "\\ud800", "caption": "x"}\n',
    b"J" + b"[" * 3000,
    b"Cimage,caption\n\xff.jpg,x\n",
    b"Cimage,caption\n\xef\xbb\xbfa.jpg,x\0y\n",
    b'Cimage,caption\na.jpg,"open\n',
    b"Cimage,caption\n" + b"a.jpg,x,y,z\n" * 5,
    b"C" + b"," * 4000 + b"\n",
]
_ENDINGS = {b"C": ".csv", b"T": ".tsv", b"J": ".jsonl"}


def fuzz_one(data: bytes) -> None:
    """Raises when a table is neither read nor refused in words of ours."""
    fast = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=fast) as folder:
        path = os.path.join(folder, "table" + _ENDINGS.get(data[:1], ".txt"))
        with open(path, "wb") as file:
            file.write(data[1:])
        with open(os.path.join(folder, "a.jpg"), "wb") as file:
            file.write(b"photo")
        try:
            table = read_table(path)
        except UsageError as error:
            assert re.search(r"table\.\w+", str(error)), error
            return
        assert table is not None


if __name__ == "__main__":
    main(fuzz_one, SEEDS)
