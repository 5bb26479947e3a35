"""The conformance suite for stores: every ArtifactStore, ours or another package's, passes it.

    from synthloom.testing.check_store import check_store
    check_store(my_store)

or, one test for each promise:

    @pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.name)
    def test_my_store(check):
        check.run(my_store)

It writes below keys that begin with `check-`, and removes them again: a store that holds something may be checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from synthloom.domain.artifact import ARTIFACT_NAMES
from synthloom.domain.errors import ContractError, SynthloomError, UnknownNameError, UsageError
from synthloom.ports import ArtifactStore, Content
from synthloom.testing._suite import Broken, Promises, expect, hold

PIECE_LIMIT = 8 << 20
"""Bytes a streamed piece may have."""

BIG = 96 << 20
"""Bytes of the object that is too big to hold in memory."""

MEMORY_LIMIT = 64 << 20
"""Bytes this process may grow by while it writes or reads that object."""

_MB = 1 << 20
_SEVERAL_PARTS = 20 * _MB
_PATIENCE = 120.0


@dataclass(frozen=True)
class Ground:
    """A store, and the key below which a check may write."""

    store: ArtifactStore
    prefix: str

    def key(self, name: str) -> str:
        """A key that is this check's own."""
        return f"{self.prefix}/{name}"

    def names(self) -> list[str]:
        """What stands below the prefix."""
        return [key.removeprefix(f"{self.prefix}/") for key in self.store.list(f"{self.prefix}/")]

    def content(self, name: str) -> bytes | None:
        """An artifact's bytes; None when there is none."""
        return self.store.get(self.key(name)) if self.store.exists(self.key(name)) else None


@dataclass(frozen=True)
class Check:
    """One promise, and the test that a store keeps it.

    Attributes:
        name: Short and stable.
        promise: What is promised, one sentence.
    """

    name: str
    promise: str
    test: Callable[[Ground], None]

    def run(self, store: ArtifactStore) -> None:
        """Raise ContractError, with the promise and what was found, unless the store keeps it."""
        ground = Ground(store, f"check-{secrets.token_hex(6)}")
        try:
            self.test(ground)
        except Broken as broken:
            where = type(store).__name__
            raise ContractError(f"{self.name}: {self.promise} Found: {broken}", where=where) from None
        finally:
            for key in store.list(f"{ground.prefix}"):
                store.delete(key)


_promise: Promises[Ground, Check] = Promises(Check)


def check_store(store: ArtifactStore) -> None:
    """Hold a store to all promises.

    Raises:
        ContractError: names every promise that is not kept, with what was found.
    """
    hold(STORE_CHECKS, lambda check: check.run(store))


@_promise("What is put is got, with its size, SHA-256 and media type.")
def _round_trip(ground: Ground) -> None:
    for name, kind in {**ARTIFACT_NAMES, "other": "application/octet-stream"}.items():
        data = f"content of {name}".encode()
        artifact = ground.store.put(ground.key(name), data)
        expect(artifact.key == ground.key(name), f"key {artifact.key!r}")
        expect(artifact.media_type == kind, f"media type {artifact.media_type!r} of {name}")
        expect(artifact.size == len(data) == ground.store.size(ground.key(name)), f"size {artifact.size}")
        expect(artifact.sha256 == hashlib.sha256(data).hexdigest(), f"checksum {artifact.sha256}")
        expect(ground.content(name) == data, f"other bytes of {name}")
    both = ground.store.put_all({ground.key("b"): b"bb", ground.key("a"): b"a"})
    expect([(a.key, a.size) for a in both] == [(ground.key("b"), 2), (ground.key("a"), 1)], f"artifacts {both}")


@_promise("A writer function writes into a sink that is a binary file, whose buffers it may use again.")
def _sinks(ground: Ground) -> None:
    seen: list[Any] = []
    data = bytearray(b"once")

    def write(sink: BinaryIO) -> None:
        seen.extend([sink.writable(), not sink.readable(), not sink.seekable(), not sink.closed, sink.tell() == 0])
        seen.append(sink.write(data) == 4)
        data[:] = b"more"
        seen.append(sink.write(memoryview(data)[1:]) == 3)
        data[:] = b"lost"
        sink.flush()
        seen.append(sink.tell() == 7)
        sink.close()

    artifact = ground.store.put(ground.key("x"), write)
    expect(all(seen), f"answers {seen}")
    expect(ground.content("x") == b"onceore", f"content {ground.content('x')!r}")
    expect(artifact.sha256 == hashlib.sha256(b"onceore").hexdigest(), "another checksum")


@_promise("An artifact may be empty, and may be replaced by a larger or a smaller one.")
def _replaced(ground: Ground) -> None:
    for size in (0, 5, _SEVERAL_PARTS, 3, 0):
        data = secrets.token_bytes(16) * (size // 16) + b"x" * (size % 16)
        artifact = ground.store.put(ground.key("x"), data)
        expect(artifact.size == size == ground.store.size(ground.key("x")), f"{artifact.size} bytes of {size}")
        expect(ground.content("x") == data, f"other bytes of {size}")
        expect(b"".join(ground.store.stream(ground.key("x"))) == data, f"other streamed bytes of {size}")
    expect(ground.names() == ["x"], f"keys {ground.names()}")


@_promise("Every key that stays inside is taken and listed as it is.")
def _odd_keys(ground: Ground) -> None:
    names = sorted([
        "a b.csv", "a+b", "a%2Fb", "a%b", "a#1", "a~b", "a?b=c&d", "ünï/größe", "日本/1", ".hidden", "deep/er/and/more",
        "-", "a'b\"c", "a:b", "x" * 200, "a..b", "…", "<a>", "a*b", "a|b", "$HOME", "e\u0301", "\u00e9",
    ])
    for name in names:
        ground.store.put(ground.key(name), name.encode())
    expect(ground.names() == names, f"keys {set(ground.names()) ^ set(names)} too many or missing")
    for name in names:
        expect(ground.content(name) == name.encode(), f"another content under {name!r}")
        ground.store.delete(ground.key(name))
    expect(ground.names() == [], f"keys {ground.names()} after all were removed")


@_promise("No key leads outside, in whatever call.")
def _path_tricks(ground: Ground) -> None:
    store = ground.store
    ground.store.put(ground.key("x"), b"x")
    calls: dict[str, Callable[[str], Any]] = {
        "put": lambda key: store.put(key, b""), "get": store.get, "stream": lambda key: list(store.stream(key)),
        "size": store.size, "exists": store.exists, "delete": store.delete,
        "put_all": lambda key: store.put_all({ground.key("y"): b"", key: b""}),
        "signed_url": lambda key: store.signed_url(key, 60, "x"),
    }
    tricks = [
        "", "/", "/etc/passwd", "../up", f"{ground.prefix}/../x", f"{ground.prefix}//x", f"{ground.prefix}/./x",
        f"{ground.prefix}/", "..", ".", "a\\b", "..\\up", "a\0b", "a\nb", "a\x7fb", "x" * 600,
    ]
    for name, call in calls.items():
        for key in tricks:
            with contextlib.suppress(UsageError):
                call(key)
                raise Broken(f"{name} took {key[:40]!r}")
    expect(ground.names() == ["x"], f"keys {ground.names()}")


@_promise("What is not there is an UnknownNameError at the call, does not exist, and may be deleted.")
def _unknown_keys(ground: Ground) -> None:
    store = ground.store
    store.put(ground.key("folder/x"), b"x")
    for name in ("nothing", "folder", "folder/x/y", "folder/x2", "Folder/x"):
        reads: list[Callable[[str], Any]] = [store.get, store.stream, store.size]
        for read in reads:
            try:
                read(ground.key(name))
            except UnknownNameError:
                continue
            raise Broken(f"{name} was read")
        expect(not store.exists(ground.key(name)), f"{name} exists")
        store.delete(ground.key(name))
    expect(ground.names() == ["folder/x"], f"keys {ground.names()}")
    store.delete(ground.key("folder/x"))
    store.delete(ground.key("folder/x"))
    expect(ground.names() == [], f"keys {ground.names()}")


@_promise("A list holds the keys that begin with the prefix, sorted, and no others.")
def _lists(ground: Ground) -> None:
    names = ["a/1", "a/2/3", "ab", "b/1", "b0"]
    for name in names:
        ground.store.put(ground.key(name), b"")
    for prefix in ("", "a", "a/", "a/2", "a/2/", "b", "b/", "c", "c/d/", "a/2/3", "a/2/3/", "A/"):
        expected = tuple(sorted(ground.key(n) for n in names if n.startswith(prefix)))
        found = ground.store.list(ground.key(prefix))
        expect(found == expected, f"{found} under {prefix!r}")
    expect(set(map(ground.key, names)) <= set(ground.store.list()), "too few without a prefix")


@_promise("A writer that fails leaves nothing new and keeps the old; its own error comes out.")
def _failing_writers(ground: Ground) -> None:
    ground.store.put(ground.key("old"), b"old")
    for size in (1, _SEVERAL_PARTS):

        def fail(sink: BinaryIO, size: int = size) -> None:
            sink.write(bytes(size))
            raise _Boom

        tries: list[dict[str, Content]] = [
            {"new": fail}, {"old": fail}, {"new": b"whole", "old": fail}, {"new": fail, "newer": b"x"},
        ]
        for contents in tries:
            with contextlib.suppress(_Boom):
                ground.store.put_all({ground.key(name): content for name, content in contents.items()})
                raise Broken("no error")
            expect(ground.names() == ["old"], f"keys {ground.names()} after {size} bytes")
            expect(ground.content("old") == b"old", "another content")


@_promise("Nothing is visible before all is written, then all of it.")
def _half_written(ground: Ground) -> None:
    ground.store.put(ground.key("1"), b"old")
    seen: list[tuple[list[str], bytes | None]] = []

    def look(sink: BinaryIO) -> None:
        for _ in range(_SEVERAL_PARTS // _MB):
            sink.write(bytes(_MB))
        seen.append((ground.names(), ground.content("1")))

    ground.store.put_all({ground.key(name): look for name in ("1", "2", "3")})
    expect(seen == [(["1"], b"old")] * 3, f"{[names for names, _ in seen]} meanwhile")
    expect(ground.names() == ["1", "2", "3"], f"keys {ground.names()} afterwards")


@_promise("A stream gives any range, in pieces of a few MB, and nothing past the end.")
def _ranges(ground: Ground) -> None:
    size = 9 * _MB + 7
    data = secrets.token_bytes(1 << 16) * (size // (1 << 16)) + b"y" * (size % (1 << 16))
    ground.store.put(ground.key("x"), data)
    ends = [0, 1, 4 * _MB - 1, 4 * _MB, 4 * _MB + 1, 9 * _MB, size - 1, size, size + 1, 2 * size]
    ranges = [(start, end) for start in ends for end in (*ends, None) if end is None or end >= start]
    for start, end in [*ranges[::5], (0, None), (0, 0), (size, None), (size + 5, None), (size - 3, size + 99)]:
        pieces = list(ground.store.stream(ground.key("x"), start, end))
        expect(b"".join(pieces) == data[start:end], f"other bytes from {start} to {end}")
        expect(all(0 < len(piece) <= PIECE_LIMIT for piece in pieces), f"pieces of {[len(p) for p in pieces]} bytes")
    for start, end in [(-1, None), (2, 1), (0, -1)]:
        with contextlib.suppress(UsageError):
            ground.store.stream(ground.key("x"), start, end)
            raise Broken(f"{start} to {end} was taken for a range")


@_promise("A stream never mixes two versions: the one it began with to its end, or an error.")
def _one_version(ground: Ground) -> None:
    for after in (b"b" * _SEVERAL_PARTS, b"short", None):
        ground.store.put(ground.key("x"), b"a" * _SEVERAL_PARTS)
        pieces = ground.store.stream(ground.key("x"))
        first = next(pieces)
        if after is None:
            ground.store.delete(ground.key("x"))
        else:
            ground.store.put(ground.key("x"), after)
        with contextlib.suppress(SynthloomError):
            whole = first + b"".join(pieces)
            expect(whole == b"a" * _SEVERAL_PARTS, f"{len(whole)} bytes, {whole.count(b'b')} of the second version")
    ground.store.put(ground.key("x"), b"x")
    ground.store.stream(ground.key("x"))  # nobody reads it: nothing may stay open


@_promise("Writers at the same time don't disturb each other; readers meanwhile see whole artifacts.")
def _concurrent_writers(ground: Ground) -> None:
    versions = [bytes([letter]) * (10 * _MB) for letter in b"abc"]
    whole = {hashlib.sha256(version).digest() for version in versions}
    ground.store.put(ground.key("shared"), versions[0])
    problems: list[str] = []
    done = threading.Event()

    def write(number: int) -> None:
        for turn in range(2):
            ground.store.put(ground.key("shared"), versions[number])
            ground.store.put_all({ground.key(f"own/{number}/{turn}/{i}"): b"%d" % i for i in range(5)})

    def read() -> None:
        while not done.is_set():
            if hashlib.sha256(ground.store.get(ground.key("shared"))).digest() not in whole:
                problems.append("a reader saw half an artifact")
                return

    reader = threading.Thread(target=_reporting(read, problems))
    writers = [threading.Thread(target=_reporting(write, problems, n)) for n in range(len(versions))]
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join(_PATIENCE)
    done.set()
    reader.join(_PATIENCE)
    expect(not any(thread.is_alive() for thread in [reader, *writers]), "a thread that does not end")
    expect(not problems, "; ".join(problems))
    expect(hashlib.sha256(ground.content("shared") or b"").digest() in whole, "half an artifact")
    expect(len(ground.names()) == 31, f"{len(ground.names())} artifacts of 31")


@_promise(f"A big artifact is written and read without holding it: at most {MEMORY_LIMIT >> 20} MB more memory.")
def _bounded_memory(ground: Ground) -> None:
    block = secrets.token_bytes(_MB)
    hashed = hashlib.sha256()

    def write(sink: BinaryIO) -> None:
        for _ in range(BIG // _MB):
            sink.write(block)

    for _ in range(BIG // _MB):
        hashed.update(block)
    with _watched_memory() as grown:
        artifact = ground.store.put(ground.key("big"), write)
        expect(grown() < MEMORY_LIMIT, f"{grown() >> 20} MB while {BIG >> 20} MB were written")
    expect((artifact.size, artifact.sha256) == (BIG, hashed.hexdigest()), f"{artifact}")
    back = hashlib.sha256()
    with _watched_memory() as grown:
        for piece in ground.store.stream(ground.key("big")):
            back.update(piece)
        expect(grown() < MEMORY_LIMIT, f"{grown() >> 20} MB while {BIG >> 20} MB were read")
    expect(back.digest() == hashed.digest(), "other bytes")


@_promise("Keys are old when they were written long enough ago.")
def _ages(ground: Ground) -> None:
    ground.store.put(ground.key("x"), b"")
    expect(ground.key("x") in ground.store.keys_older_than(-5), "a new artifact is not even as old as it is")
    expect(ground.key("x") not in ground.store.keys_older_than(3600), "a new artifact is an hour old")
    ground.store.delete(ground.key("x"))
    expect(ground.key("x") not in ground.store.keys_older_than(-5), "an artifact that was removed")


@_promise("A signed link, where the store gives one, downloads the artifact under the name asked for.")
def _signed_links(ground: Ground) -> None:
    ground.store.put(ground.key("a b/synthetic.csv"), b"a,b\n")
    for name in ("größe \"1\".csv", "x.csv", "a\r\nb: c.csv", "../up.csv"):
        url = ground.store.signed_url(ground.key("a b/synthetic.csv"), 60, name)
        if url is None:
            return
        expect(url.startswith(("https://", "http://")), "no web address")
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:  # noqa: S310  # seen to be a web address
            expect(answer.read() == b"a,b\n", "other bytes")
            said = answer.headers.get("Content-Disposition", "")
        expect(said.startswith("attachment") and "filename" in said, f"content disposition {said!r}")
        expect("/" not in said and "\n" not in said, f"content disposition {said!r}")


STORE_CHECKS: tuple[Check, ...] = tuple(_promise.checks)
"""All promises, each its own test."""


class _Boom(Exception):  # noqa: N818  # a writer's own error
    """What a failing writer raises."""


def _reporting(work: Callable[..., None], problems: list[str], *args: Any) -> Callable[[], None]:
    def run() -> None:
        try:
            work(*args)
        except Exception as error:  # noqa: BLE001  # a thread's error would be lost: the check tells it
            problems.append(f"{type(error).__name__}: {error}")

    return run


@contextlib.contextmanager
def _watched_memory() -> Iterator[Callable[[], int]]:
    """Bytes this process has grown by at most since the block began, looked at every 5 ms."""
    import psutil

    process = psutil.Process()
    start = peak = process.memory_info().rss
    done = threading.Event()

    def look() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: max(peak, process.memory_info().rss) - start
    finally:
        done.set()
        thread.join()
