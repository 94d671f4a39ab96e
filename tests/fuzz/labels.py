"""Files of labels: read, or refused with the number of a line."""

import os
import re
import tempfile

from clipsearch.errors import UsageError
from clipsearch.labels import MAX_NAME, labels_from_file, labels_from_text
from tests.fuzz.driving import main

SEEDS = [
    b"Lcat\ndog\nstop_sign\n",
    b"L\xef\xbb\xbfcat\r\n# comment\r\nme=a bearded man\r\n",
    b"L=x\n",
    b"Lcat\ncat\n",
    b"Lca\0t\n",
    b"L" + b"x" * 2000,
    b'Clabel,words\ncat,a small cat\n"a, b",x\n',
    b"Cname\ncat\n",
    b'C"open\ncat\n',
    b"Ccat,1,2,3\n,,,\n",
    b"C=1+1,@SUM(A1)\n",
    b"Tlabel\tprompt\ncat\ta cat\n",
    b"C\xff\xfec\0a\0t\0",
    b"C" + b"," * 3000,
    b"L@rex\ndog=@rex\n@=x\n",
    b"Ca\rb\rc",
]
_ENDINGS = {b"C": ".csv", b"T": ".tsv"}


def fuzz_one(data: bytes) -> None:
    """Raises when a file is neither read nor refused by line, or gives a label that is no text."""
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    ending = _ENDINGS.get(data[:1], ".txt")
    with tempfile.NamedTemporaryFile(suffix=ending, dir=folder) as file:
        file.write(data[1:])
        file.flush()
        name = os.path.basename(file.name)
        try:
            labels = labels_from_file(file.name)
        except UsageError as error:
            assert re.search(rf"{re.escape(name)}(, line \d+: | gives no labels)", str(error))
            return
    text = data[1:].decode("utf-8", "replace")
    for label in labels:
        assert 0 < len(label.name) <= MAX_NAME
        assert label.words
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", label.name + label.words)
        assert label.name in text or ending != ".txt"
    assert len({label.name.casefold() for label in labels}) == len(labels)
    try:
        labels_from_text(text)
    except UsageError as error:
        assert str(error)


if __name__ == "__main__":
    main(fuzz_one, SEEDS)
