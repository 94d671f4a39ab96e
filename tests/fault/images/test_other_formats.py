"""D4: what is no photo never reaches a decoder, whatever it is called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import Program

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
(canary) run
%%EOF
"""
OTHERS = {
    "eps": EPS,
    "eps-in-dos": b"\xc5\xd0\xd3\xc6" + (30).to_bytes(4, "little") + bytes(22) + EPS,
    "psd": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\10\0\0\0\10\0\10\0\3" + bytes(200),
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
    "svg-behind-a-comment": b"<!-- " + b"x" * 500 + b" --><svg></svg>",
    "pdf": b"%PDF-1.7\n1 0 obj <</OpenAction 2 0 R>> endobj\n%%EOF",
    "hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 8\n" + bytes(256),
    "wmf": b"\xd7\xcd\xc6\x9a" + bytes(100),
    "fli": bytes(4) + b"\x11\xaf" + bytes(200),
    "icns": b"icns" + (100).to_bytes(4, "big") + bytes(92),
    "ico": b"\0\0\1\0\1\0" + bytes(100),
    "pcx": b"\x0a\5\1\10" + bytes(124),
    "sgi": b"\x01\xda\0\1" + bytes(508),
    "dds": b"DDS " + bytes(124),
    "jpeg2000": b"\xff\x4f\xff\x51" + bytes(100),
    "ppm": b"P6\n8 8\n255\n" + bytes(192),
    "xpm": b'/* XPM */\nstatic char *x[] = {"8 8 1 1", "a c #000000"',
    "tga": b"\0\0\2" + bytes(9) + b"\x08\0\x08\0\x18\0" + bytes(192),
    "zip": b"PK\3\4" + bytes(100),
}

# Reads every file named in the arguments, then tells which decoders were loaded and which
# programs were started on the way.
READ = """
import json, sys
started = []
watched = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork")
sys.addaudithook(lambda event, args: event in watched and started.append(event))
from clipsearch.errors import PhotoError
from clipsearch.photos.opening import decode
from tests.photos.samples import preprocess
kinds = {}
for path in sys.argv[1:]:
    try:
        decode(open(path, "rb").read(), preprocess(8), path=path.encode())
        kinds[path] = "decoded"
    except PhotoError as error:
        kinds[path] = error.kind
plugins = sorted(name for name in sys.modules if name.startswith("PIL.") and "Plugin" in name)
print(json.dumps([kinds, started, plugins]))
"""


@pytest.mark.row("D4")
@pytest.mark.parametrize("ending", ["jpg", "png", "tiff"])
def test_no_decoder_sees_them_and_no_program_is_started(tmp_path: Path, ending: str) -> None:
    for name, data in OTHERS.items():
        (tmp_path / f"{name}.{ending}").write_bytes(data)
    paths = sorted(os.fspath(path) for path in tmp_path.iterdir())
    answer = subprocess.run(
        [sys.executable, "-c", READ, *paths], capture_output=True, text=True, check=True
    )
    kinds, started, plugins = json.loads(answer.stdout)
    assert kinds.keys() == set(paths)
    assert set(kinds.values()) <= {"unsupported", "damaged"}
    assert (started, plugins) == ([], [])


@pytest.mark.row("D4")
def test_the_interpreter_of_drawings_is_never_called(program: Program) -> None:
    """A `gs` in the way of the real one, which tells when it is called."""
    tools = program.folder / "tools"
    tools.mkdir()
    for name in ("gs", "gswin64c", "rsvg-convert", "inkscape"):
        (tools / name).write_text(f'#!/bin/sh\ntouch "{program.folder}/canary"\n')
        (tools / name).chmod(0o755)
    for name, data in OTHERS.items():
        (program.album / f"{name}.jpg").write_bytes(data)
    program.add_colours()
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    answer = program.run("index", "album", "--model", "fake", PATH=path)
    assert answer.code == 3
    assert not (program.folder / "canary").exists()
    problems = program.run("library", "problems", "--json", PATH=path).records
    assert {os.path.basename(str(each["path"])) for each in problems} == {
        f"{name}.jpg" for name in OTHERS
    }
