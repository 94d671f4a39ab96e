"""G7: without a network all works but fetching a model, and nothing even tries to connect."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.finetuning.tiny_run import write_photos

pytestmark = pytest.mark.real

# Python runs this in every process of the program, workers included.
WATCH = """
import os, sys
WATCHED = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
def watch(event, args):
    if event in WATCHED and not isinstance(args[-1], str | bytes):
        descriptor = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{event} {args!r}\\n".encode())
        os.close(descriptor)
sys.addaudithook(watch)
"""


def without_network() -> list[str]:
    """What starts a command without a network; nothing where the system does not let us."""
    if shutil.which("unshare") is None:
        return []
    probe = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False)
    return ["unshare", "-rn"] if probe.returncode == 0 else []


class Offline(Program):
    """`clipsearch` without a network, every attempt to use one written down."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.attempts = folder / "attempts"
        (folder / "watch").mkdir()
        (folder / "watch" / "sitecustomize.py").write_text(WATCH)
        self._wrapper = without_network()

    def command(self, *arguments: str | bytes) -> list[str | bytes]:
        return [*self._wrapper, *super().command(*arguments)]

    def offline(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command that has to end with one of these codes; what it said."""
        environment = self.environment(WATCHED=str(self.attempts), HF_HUB_OFFLINE="0")
        own = environment["PYTHONPATH"]
        environment["PYTHONPATH"] = f"{self.folder / 'watch'}{os.pathsep}{own}"
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in codes, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def tried(self) -> str:
        """The attempts so far, forgotten afterwards."""
        if not self.attempts.exists():
            return ""
        text = self.attempts.read_text()
        self.attempts.unlink()
        return text


@pytest.fixture(scope="module")
def offline(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Offline:
    """An album, and a model in a local directory."""
    program = Offline(tmp_path_factory.mktemp("offline"))
    program.add_colours()
    # To random weights photos of one colour look all the same; shapes they can tell apart.
    write_photos(program.album / "shapes")
    shutil.copytree(tiny_clip, program.folder / "tiny")
    return program


@pytest.mark.row("G7")
def test_the_watch_sees_an_attempt(offline: Offline) -> None:
    said = offline.offline("models", "pull", "fast", codes=(6,))
    assert "cannot be reached" in said
    assert "socket.getaddrinfo" in offline.tried()


@pytest.mark.row("G7")
def test_no_command_tries_to_connect(offline: Offline) -> None:
    run = offline.offline
    run("models", "pull", "./tiny")
    run("models", "verify", "./tiny")
    run("models", "list", "--json")
    run("models", "show", "fast")
    run("index", "album", "--model", "./tiny")
    run("index")
    run("search", "red", "-k", "3", "--json")
    run("search", "album/red.png", "-k", "2")
    run("search", "in:album")
    run("classify", "album", "--labels", "red,green", "--csv")
    squares = [f"album/shapes/red-square-{size}.png" for size in (14, 17)]
    assert "@ruby: learned from 2 photos" in run("teach", "ruby", *squares, "--is", "square")
    assert "ruby" in run("teach", "--list")
    assert "red-square" in run("search", "@ruby")
    run("why", "album/red.png")
    run("doctor", "--json")
    for name in ("status", "roots", "where", "check", "rebuild"):
        run("library", name)
    run("library", "problems", codes=(1,))
    run("library", "backup", "copies")
    table = write_photos(offline.folder / "captions")
    run("evaluate", str(table), "--model", "./tiny")
    run("finetune", str(table), "--model", "./tiny", "--check")
    run("--help")
    assert offline.tried() == ""


@pytest.mark.nightly
@pytest.mark.row("G7")
def test_neither_do_the_long_ones(offline: Offline) -> None:
    table = write_photos(offline.folder / "more captions")
    offline.offline("models", "pull", "starter")
    offline.offline("demo", "--quiet")
    wishes = ("--epochs", "1", "--tune", "all", "--forgetting", "1", "--threads", "1")
    said = ("finetune", str(table), "--model", "./tiny", "--out", "mine", *wishes, "--quiet")
    offline.offline(*said, codes=(0, 1))
    assert offline.tried() == ""


@pytest.mark.row("G7")
@pytest.mark.skipif(shutil.which("strace") is None, reason="counts calls with strace")
def test_the_kernel_saw_no_attempt_either(offline: Offline, tmp_path: Path) -> None:
    """Libraries in C do not ask Python's permission."""
    offline.offline("models", "pull", "./tiny")
    offline.offline("index", "album", "--model", "./tiny")
    log = tmp_path / "calls"
    trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log)]
    for arguments in (["search", "red"], ["search", "album/red.png"], ["library", "status"]):
        command = [*trace, sys.executable, "-m", "clipsearch", *arguments]
        environment = offline.environment(HF_HUB_OFFLINE="0")
        subprocess.run(
            command, cwd=offline.folder, env=environment, capture_output=True, check=True
        )
        calls = log.read_text().splitlines()
        assert [line for line in calls if "AF_INET" in line] == []
