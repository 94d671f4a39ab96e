"""What makes names safe for a terminal, a spreadsheet and JSON: nothing raw, nothing lost."""

import base64
import csv
import io
import json

from clipsearch.cli.escape import csv_cell, json_line, path_fields, visible, visible_path
from tests.cli.test_escape import HARMFUL, HARMLESS, unescape
from tests.fuzz.driving import main

SEEDS = [name.encode("utf-8", "surrogatepass") for name in (*HARMLESS, *HARMFUL)] + [
    b"\xff\x9b.png",
    b"=1+1",
    b"'=1",
    b"\xc2\x85",
    b"\\x85",
    b"\xed\xb3\xbf",
]
_CSI_AND_BELL = {"\x1b", "\x07", "\x9b", "\r", "\n", "\t"}


def fuzz_one(data: bytes) -> None:
    """Raises when something gets through that is not drawn as itself, or two names become one."""
    name = data.decode("utf-8", "surrogateescape")
    shown = visible(name)
    assert shown.isprintable()
    assert not _CSI_AND_BELL.intersection(shown)
    assert unescape(shown) == name
    assert unescape(visible_path(data)).encode("utf-8", "surrogateescape") == data
    cell = csv_cell(name)
    written = io.StringIO()
    csv.writer(written).writerow([cell])
    assert next(csv.reader(io.StringIO(written.getvalue()))) == [cell]
    assert cell[:1] not in set("=+-@\t\r\n")
    assert unescape(cell[1:] if cell[:1] == "'" else cell) == name
    line = json_line({**path_fields(data), "label": name})
    assert line.isprintable()
    record = json.loads(line.encode("utf-8"))
    exact = record.get("path_bytes")
    assert (base64.b64decode(exact) if exact else record["path"].encode()) == data
    assert record["label"] == name


if __name__ == "__main__":
    main(fuzz_one, SEEDS)
