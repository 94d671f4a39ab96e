import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipsearch.errors import LockedError, StorageError
from clipsearch.storage.directory import catalogue_in
from clipsearch.storage.layout import CATALOGUE_NAME
from clipsearch.storage.lock import writer_lock

HOLD = """
import sys, time
from pathlib import Path
from clipsearch.storage.lock import writer_lock
with writer_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.row("E1", "E2")
def test_a_second_writer_is_refused_by_name_until_the_first_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        started = time.monotonic()
        with (
            pytest.raises(LockedError, match=f"process {holder.pid} on {os.uname().nodename}"),
            writer_lock(tmp_path),
        ):
            pytest.fail("two writers")
        assert time.monotonic() - started < 2
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with writer_lock(tmp_path):
            assert f'"pid": {os.getpid()}' in (tmp_path / "lock").read_text()


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), writer_lock(tmp_path):
        raise RuntimeError
    with writer_lock(tmp_path):
        pass


def test_a_holder_whose_name_cannot_be_read_still_locks(tmp_path: Path) -> None:
    with writer_lock(tmp_path):
        (tmp_path / "lock").write_text("garbage")
        with pytest.raises(LockedError, match="not known"), writer_lock(tmp_path):
            pytest.fail("two writers")


@pytest.mark.row("E1")
def test_a_library_has_one_lock_by_whatever_links_it_is_reached(tmp_path: Path) -> None:
    library = tmp_path / "library"
    catalogue = catalogue_in(library, create=True)
    (tmp_path / "folder").symlink_to(library)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / CATALOGUE_NAME).symlink_to(catalogue)
    (tmp_path / "twice").mkdir()
    (tmp_path / "twice" / CATALOGUE_NAME).symlink_to(tmp_path / "linked" / CATALOGUE_NAME)
    places = [library, tmp_path / "folder", tmp_path / "linked", tmp_path / "twice"]
    for holder in places:
        with writer_lock(holder):
            for other in places:
                with pytest.raises(LockedError), writer_lock(other):
                    pytest.fail("two writers")


def test_no_lock_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"), writer_lock(tmp_path / "absent"):
        pass


@pytest.mark.row("E2")
def test_a_writer_on_another_machine_is_asked_about_until_it_has_finished(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with writer_lock(tmp_path):
        own = json.loads(path.read_text())
    assert path.read_text() == "", "a writer that has finished left its name"
    path.write_text(json.dumps({"pid": 17, "host": "elsewhere", "boot": "another"}))
    for _ in range(2):
        with (
            pytest.raises(LockedError, match=f"process 17 on elsewhere.*remove {path}"),
            writer_lock(tmp_path),
        ):
            pytest.fail("two writers")
    for same in ({"host": own["host"], "boot": "the last one"}, {"host": "x", "boot": own["boot"]}):
        path.write_text(json.dumps({"pid": 17, **same}))
        with writer_lock(tmp_path):
            pass
