"""`clipsearch library` and `clipsearch models` as a program."""

import os

import pytest

from clipsearch.library import Library
from tests.cli.program import Program


def test_status_counts_what_is_there(colours: Program) -> None:
    (record,) = colours.run("library", "status", "--json").records
    assert (record["photos"], record["contents"], record["embedded"]) == (5, 5, 5)
    models = record["models"]
    assert isinstance(models, list)
    assert [(model["name"], model["active"]) for model in models] == [("fake", True)]
    alone = colours.run("library")
    assert alone == colours.run("library", "status")
    assert "5 in 1 folder" in alone.out


def test_roots_say_whether_they_are_there(indexed: Program) -> None:
    (root,) = indexed.run("library", "roots", "--json").records
    assert (root["path"], root["online"]) == (str(indexed.album), True)
    os.rename(indexed.album, indexed.folder / "away")
    assert indexed.run("library", "roots").lines[0].startswith("offline\t")


def test_problems_are_none_or_by_kind(indexed: Program) -> None:
    none = indexed.run("library", "problems")
    assert (none.code, none.raw) == (1, b"")
    (indexed.album / "notes.txt").write_text("no photo")
    (indexed.album / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    indexed.run("index")
    assert [r["kind"] for r in indexed.run("library", "problems", "--json").records] == ["damaged"]
    others = indexed.run("library", "problems", "--kind", "not-photo").lines
    assert [os.path.basename(line) for line in others] == ["notes.txt"]


def test_kinds_of_problems_and_folders_are_not_guessed(indexed: Program) -> None:
    line = indexed.fails(2, "library", "problems", "--kind", "nosuch")
    assert "unsupported, damaged, refused, unreadable, not-photo" in line
    assert "the folder's name is empty" in indexed.fails(2, "library", "forget", "")


def test_forgetting_a_folder_leaves_its_photos(indexed: Program) -> None:
    assert "no folder of this library" in indexed.fails(2, "library", "forget", "elsewhere")
    answer = indexed.run("library", "forget", "album")
    assert answer.out == f"forgot 5 photos of {indexed.album}; the files were not touched\n"
    assert len(os.listdir(indexed.album)) == 5
    assert indexed.run("library", "status", "--json").records[0]["photos"] == 0
    assert indexed.run("search", "red").code == 1


def test_forgetting_a_folder_for_programs(indexed: Program) -> None:
    answer = indexed.run("library", "forget", "album", "--json")
    assert answer.code == 0
    assert answer.records == [{"path": str(indexed.album), "photos": 5}]


def test_the_root_of_the_file_system_can_be_forgotten(program: Program) -> None:
    with Library.open(program.library, create=True) as library:
        library.catalogue.add_root(b"/", 1, 2)
    assert program.run("library", "forget", "/").out.startswith("forgot 0 photos of /;")


def test_rebuilding_brings_the_snapshot_up_to_date(indexed: Program) -> None:
    assert indexed.run("library", "rebuild").out == "the search snapshot is up to date\n"


def test_a_damaged_embedding_is_found_by_every_command_and_erased_by_none(
    indexed: Program,
) -> None:
    import sqlite3

    database = sqlite3.connect(indexed.library / "catalogue.sqlite")
    database.execute("UPDATE embeddings SET checksum = checksum + 1 WHERE id = 1")
    database.commit()
    assert "library check --repair" in indexed.fails(4, "search", "red")
    doctor = indexed.run("doctor")
    assert doctor.code == 4
    assert "FAIL  catalogue: " in doctor.out
    assert "library check --repair" in indexed.fails(4, "library", "rebuild")
    assert database.execute("SELECT count(*) FROM embeddings").fetchone() == (5,)
    database.close()


def test_where_things_are(colours: Program) -> None:
    (record,) = colours.run("library", "where", "--json").records
    assert record["library"] == str(colours.library)
    assert record["models"] == str(colours.folder / "models")
    assert os.path.isdir(os.path.join(str(record["data"]), "templates"))


@pytest.mark.parametrize(
    "command", [["status"], ["roots"], ["problems"], ["forget", "x"], ["rebuild"]], ids=" ".join
)
def test_without_a_library_the_way_to_one_is_named(command: list[str], program: Program) -> None:
    line = program.fails(6, "library", *command)
    assert "There is no library" in line
    assert "clipsearch index" in line
    assert not program.library.exists()


def test_models_are_listed_with_size_licence_and_languages(program: Program) -> None:
    records = {r["name"]: r for r in program.run("models", "list", "--json").records}
    assert list(records) == ["starter", "fast", "balanced", "best", "multilingual"]
    assert not any(record["installed"] for record in records.values())
    assert "Chinese" in str(records["multilingual"]["languages"])
    assert program.run("models") == program.run("models", "list")
    shown = program.run("models", "show", "balanced").out
    assert "ViT-B-32-256/datacomp_s34b_b86k" in shown
    assert "605 MB" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "nope"], 2, "no model is called 'nope'"),
        (["pull", "nope"], 2, "nope"),
        (["verify", "balanced"], 6, "clipsearch models pull balanced"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_models_that_are_not_there(
    arguments: list[str], code: int, said: str, program: Program
) -> None:
    answer = program.run("models", *arguments)
    assert answer.code == code
    assert said in answer.errors.splitlines()[-1]


def test_the_fake_model_is_always_ready(program: Program) -> None:
    assert program.run("models", "verify", "fake").out == "fake is complete and undamaged\n"
    assert "installed already" in program.run("models", "pull", "fake").errors
