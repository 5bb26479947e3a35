"""Stores keep what they promise, whatever happens while they write."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from synthloom.adapters.local_folder import LocalFolder
from synthloom.adapters.memory import MemoryStore
from synthloom.domain.artifact import ARTIFACT_NAMES
from synthloom.domain.errors import CancelledError, OutputError, UnknownNameError, UsageError
from synthloom.ports import artifact_key, check_key, media_type


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryStore() if request.param == "memory" else LocalFolder(tmp_path / "store")


def files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_what_is_put_is_got(store: Any) -> None:
    artifact = store.put("run1/report.json", b"{}")
    assert store.get("run1/report.json") == b"{}"
    assert artifact.size == 2
    assert artifact.sha256 == hashlib.sha256(b"{}").hexdigest()
    assert artifact.media_type == "application/json"


def test_a_writer_function_streams(store: Any) -> None:
    def write(sink: BinaryIO) -> None:
        for _ in range(3):
            sink.write(b"abc")

    assert store.put("run1/synthetic.csv", write).size == 9
    assert store.get("run1/synthetic.csv") == b"abcabcabc"


def test_put_replaces(store: Any) -> None:
    store.put("a/b", b"old")
    store.put("a/b", b"new")
    assert store.get("a/b") == b"new"


def test_list_exists_delete(store: Any) -> None:
    store.put_all({"b/2": b"", "b/1": b"", "a/1": b""})
    assert store.list() == ("a/1", "b/1", "b/2")
    assert store.list("b/") == ("b/1", "b/2")
    assert store.exists("a/1")
    store.delete("a/1")
    store.delete("a/1")
    assert not store.exists("a/1")
    assert not store.exists("b")


def test_a_stream_gives_any_range_in_pieces(store: Any) -> None:
    data = bytes(range(256)) * 10_000
    store.put("r/big", data)
    assert store.size("r/big") == len(data)
    pieces = list(store.stream("r/big"))
    assert b"".join(pieces) == data
    assert len(pieces) > 1
    for start, end in [(0, 1), (5, 5), (1, 2_000_000), (2_559_999, None), (2_559_990, 9_999_999), (3_000_000, None)]:
        assert b"".join(store.stream("r/big", start, end)) == data[start:end]


@pytest.mark.parametrize(("start", "end"), [(-1, None), (2, 1), (0, -1)])
def test_what_is_no_range_is_an_error(store: Any, start: int, end: int | None) -> None:
    store.put("r/x", b"abc")
    with pytest.raises(UsageError, match="no range"):
        store.stream("r/x", start, end)


def test_a_stream_is_of_one_version(store: Any) -> None:
    store.put("r/x", b"old" * 1_000_000)
    pieces = store.stream("r/x")
    first = next(pieces)
    store.put("r/x", b"new")
    assert first + b"".join(pieces) == b"old" * 1_000_000
    store.stream("r/x")  # nobody reads it: nothing is left open


def test_memory_and_folders_have_no_addresses(store: Any) -> None:
    store.put("r/x", b"")
    assert store.signed_url("r/x", 60, "x.csv") is None


def test_an_unknown_key_is_an_error(store: Any) -> None:
    store.put("some/folder/x", b"")
    for read in (store.get, store.stream, store.size):
        for key in ("nobody/report.json", "some/folder", "some/folder/x/y"):
            with pytest.raises(UnknownNameError, match="there is no such"):
                read(key)


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/.", "a\\b", "a\0b", "a\nb", "x" * 600],
)
def test_a_key_stays_inside(store: Any, key: str) -> None:
    with pytest.raises(UsageError, match="not usable"):
        store.put(key, b"")


def test_a_failing_writer_leaves_nothing_and_keeps_the_old(store: Any) -> None:
    store.put("r/x", b"old")

    def fail(sink: BinaryIO) -> None:
        sink.write(b"half")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        store.put_all({"r/y": b"whole", "r/x": fail})
    assert store.list() == ("r/x",)
    assert store.get("r/x") == b"old"


def test_keys_of_runs() -> None:
    assert artifact_key("a1", "synthetic.csv") == "a1/synthetic.csv"
    with pytest.raises(UsageError, match="slash"):
        artifact_key("a/b", "synthetic.csv")
    assert check_key("ünï/größe 1.csv") == "ünï/größe 1.csv"
    assert all(media_type(f"r/{name}") == kind for name, kind in ARTIFACT_NAMES.items())
    assert media_type("r/other") == "application/octet-stream"


def test_a_failed_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)

    def fail(sink: BinaryIO) -> None:
        sink.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put("r/x", fail)
    assert files_below(tmp_path) == []


def test_nothing_is_visible_before_all_is_written(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    seen: list[tuple[str, ...]] = []
    store.put_all({"r/1": b"one", "r/2": lambda sink: seen.append(store.list()) or None})
    assert seen == [()]
    assert store.list() == ("r/1", "r/2")


def test_a_full_disk_says_so(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)

    def fill(_sink: BinaryIO) -> None:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OutputError, match="disk is full") as caught:
        store.put("r/x", fill)
    assert "r/x" in (caught.value.where or "")
    assert files_below(tmp_path) == []


def test_a_file_in_the_way_says_so(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("I am a file")
    with pytest.raises(OutputError, match="part of that path is a file"):
        LocalFolder(tmp_path).put("r/x", b"")
    (tmp_path / "s" / "x").mkdir(parents=True)
    with pytest.raises(OutputError):
        LocalFolder(tmp_path).put("s/x", b"")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_an_unwritable_folder_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may not write"):
        LocalFolder(tmp_path).put("r/x", b"")


def test_close_stops_a_writer_and_clears_up(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    begun, go_on, errors = threading.Event(), threading.Event(), []

    def slow(sink: BinaryIO) -> None:
        sink.write(b"half")
        begun.set()
        go_on.wait(10)

    def work() -> None:
        try:
            store.put("r/x", slow)
        except CancelledError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    store.close()
    assert list(tmp_path.iterdir()) == [], "the temporary file and the folder made for it are gone at once"
    go_on.set()
    thread.join(10)
    assert errors
    assert files_below(tmp_path) == []


def test_old_leftovers_are_removed_and_fresh_ones_kept(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    old, fresh = folder / ".a.csv.00000000.part", folder / ".b.csv.00000000.part"
    old.write_text("")
    fresh.write_text("")
    os.utime(old, (0, 0))
    store = LocalFolder(tmp_path)
    store.put("r/x", b"")
    assert not old.exists()
    assert fresh.exists()
    assert store.list() == ("r/x",)
