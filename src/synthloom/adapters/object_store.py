"""Artifacts in a bucket of an S3-compatible store: AWS, Supabase Storage, Garage, Ceph and their like.

What `put` promises holds: an object is uploaded in parts and appears when they are completed, so a crash, a lost
connection or a cancel in between leaves the old object, and nothing new. What a killed process may leave are parts
that no list shows; a rule of the bucket that removes incomplete uploads after a day clears them (docs/operating.md).

What `put_all` promises needs two words more. Every writer function has run to its end, and all but the last part of
every object (8 MB) is uploaded, before the first object is completed. But S3 completes one object at a time: when the
connection is lost just then, the first may have appeared and the last not. So nothing may rely on an artifact before
`put_all` has returned; the ledger points to artifacts only then, and what nobody points to is found as an orphan.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

from synthloom.adapters._s3_errors import explained, replaced
from synthloom.adapters._s3_sign import LONGEST, Signer
from synthloom.adapters._sink import HashingSink
from synthloom.domain.artifact import Artifact, content_disposition
from synthloom.domain.errors import CancelledError, UsageError
from synthloom.ports import Content, check_key, check_range, media_type

if TYPE_CHECKING:
    from obstore.store import S3Store

PART_BYTES = 8 << 20
"""Bytes of a part; the last one may be smaller. S3 takes parts of 5 MB at least and 10,000 of them: 80 GB an object."""

_PARTS_AT_ONCE = 2
_PIECE = 4 << 20
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_LOG = logging.getLogger("synthloom.store")

T = TypeVar("T")


class ObjectStore:
    """An `ArtifactStore` on a bucket; made by `ObjectStore.s3`. Threads may share one."""

    def __init__(self, store: S3Store, bucket: str, signer: Signer | None = None) -> None:
        self.bucket = bucket
        self._store = store
        self._signer = signer
        self._closed = threading.Event()

    @classmethod
    def s3(
        cls, bucket: str, *, endpoint: str | None = None, region: str = "us-east-1", access_key_id: str | None = None,
        secret_access_key: str | None = None, public_endpoint: str | None = None, patience: float = 20,
    ) -> ObjectStore:
        """A bucket of an S3-compatible store, addressed by path (`endpoint/bucket/key`). Nothing is asked of it yet.

        Args:
            bucket: Its name; it must exist.
            endpoint: Address of the store, such as https://PROJECT.supabase.co/storage/v1/s3; None: AWS.
            region: The region that requests are signed for.
            access_key_id: With its secret; None: what AWS's own variables and instance roles say.
            secret_access_key: Never shown.
            public_endpoint: The address at which browsers open signed links; None: `signed_url` gives none.
            patience: Seconds a request that fails is tried again.

        Raises:
            UsageError: an address is none, a key lacks its other half, or the bucket's name has letters no bucket has.
        """
        from obstore.store import S3Store

        if not _BUCKET.fullmatch(bucket):
            raise UsageError(f"{bucket!r} is no bucket's name.", do="Use letters, digits, dots, dashes, underscores.")
        if (access_key_id is None) != (secret_access_key is None):
            raise UsageError("an access key and its secret belong together.", where=f"bucket {bucket}", do="Give both.")
        config: dict[str, Any] = {
            "region": region, "virtual_hosted_style_request": False,
            # one DELETE for one object: not every store has the other way
            "disable_bulk_delete": True,
        }
        if endpoint is not None:
            config["endpoint"] = _checked_address(endpoint)
        store = S3Store(
            bucket, config=cast(Any, config), retry_config=_retries(patience),
            client_options={
                "allow_http": (endpoint or "").startswith("http://"),
                "connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60),
            },
            # given as a provider, the keys don't mix with a session token that the environment may hold
            credential_provider=_provider(access_key_id, secret_access_key),
        )
        signer = None
        if public_endpoint is not None and access_key_id is not None and secret_access_key is not None:
            signer = Signer(_checked_address(public_endpoint), bucket, region, access_key_id, secret_access_key)
        return cls(store, bucket, signer)

    def put(self, key: str, content: Content) -> Artifact:
        """Store one artifact, replacing what stood there."""
        return self.put_all({key: content})[0]

    def put_all(self, contents: Mapping[str, Content]) -> tuple[Artifact, ...]:
        """Store several artifacts: all are written before the first becomes visible; see above for what that means.

        Memory: some 8 MB for each artifact, and 16 MB more while one is written, however large it is.

        Raises:
            OutputError: the store is full, or takes no object as large.
            StorageUnavailableError: the store cannot be reached, the bucket is missing or the credentials are refused.
            CancelledError: `close` was called meanwhile.
        """
        for key in contents:
            check_key(key)
        uploads: dict[str, _Upload] = {}
        try:
            artifacts = tuple(self._write(key, content, uploads) for key, content in contents.items())
            for key in contents:
                self._check_open()
                uploads.pop(key).publish()
        finally:
            for upload in uploads.values():
                upload.abort()
        return artifacts

    def get(self, key: str) -> bytes:
        """The bytes of an artifact; UnknownNameError when there is none."""
        import obstore

        check_key(key)
        return self._asked(lambda: bytes(obstore.get(self._store, key).bytes()), key, "read")

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end) of an artifact in pieces of 4 MB, each asked for when it is wanted.

        No connection waits for a slow reader. Where the artifact is replaced meanwhile, the next piece is a
        ConflictError: pieces of two versions are never mixed.

        Raises:
            UnknownNameError: there is no such artifact.
            UsageError: it is no range.
        """
        check_range(start, end)
        meta = self._head(key)
        size, tag = int(meta["size"]), meta["e_tag"]
        return self._pieces(key, start, size if end is None else min(end, size), tag)

    def size(self, key: str) -> int:
        """Bytes of an artifact; UnknownNameError when there is none."""
        return int(self._head(key)["size"])

    def signed_url(self, key: str, seconds: int, filename: str) -> str | None:
        """A link that downloads the artifact under `filename`, for at most seven days.

        None where no address for browsers is known, or the keys are an instance role's.
        """
        check_key(key)
        if not 1 <= seconds <= LONGEST:
            raise UsageError(f"a link cannot last {seconds} seconds.", do=f"Say 1 to {LONGEST}.")
        if self._signer is None:
            return None
        return self._signer.link(key, seconds, content_disposition(filename), datetime.now(UTC))

    def list(self, prefix: str = "") -> tuple[str, ...]:
        """Keys that start with `prefix`, sorted."""
        return tuple(sorted(str(meta["path"]) for meta in self._metas(prefix)))

    def keys_older_than(self, seconds: float) -> tuple[str, ...]:
        """Keys written longer ago than so many seconds, sorted; by this machine's clock against the store's."""
        limit = time.time() - seconds
        return tuple(sorted(str(m["path"]) for m in self._metas("") if m["last_modified"].timestamp() <= limit))

    def exists(self, key: str) -> bool:
        """Whether an artifact stands under this key."""
        import obstore

        check_key(key)
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            self._check_bucket()
            return False
        except _store_errors() as error:
            raise explained(error, self.bucket, key, "read") from None
        return True

    def delete(self, key: str) -> None:
        """Remove an artifact; nothing happens when there is none."""
        import obstore

        check_key(key)
        self._asked(lambda: obstore.delete(self._store, key), key, "removed")

    def close(self) -> None:
        """Refuse further writing: what another thread's `put_all` has not completed never becomes visible."""
        self._closed.set()

    def _asked(self, ask: Callable[[], T], key: str, verb: str) -> T:
        try:
            return ask()
        except _store_errors() as error:
            raise explained(error, self.bucket, key, verb) from None

    def _head(self, key: str) -> Any:
        import obstore

        check_key(key)
        try:
            return obstore.head(self._store, key)
        except FileNotFoundError as error:
            self._check_bucket()
            raise explained(error, self.bucket, key, "read") from None
        except _store_errors() as error:
            raise explained(error, self.bucket, key, "read") from None

    def _check_bucket(self) -> None:
        """Raise if the bucket is missing: the answer to HEAD has no body that tells a missing object from that."""
        import obstore

        self._asked(lambda: next(iter(obstore.list(self._store, "-", chunk_size=1)), None), "", "listed")

    def _metas(self, prefix: str) -> Iterator[Any]:
        """What the store says of each object whose key starts with `prefix`."""
        import obstore

        folder, slash, _ = prefix.rpartition("/")  # obstore lists folders; the rest is ours
        try:
            for chunk in obstore.list(self._store, folder + slash or None, chunk_size=1000):
                yield from (meta for meta in chunk if meta["path"].startswith(prefix))
        except _store_errors() as error:
            raise explained(error, self.bucket, "", "listed") from None

    def _pieces(self, key: str, start: int, stop: int, tag: str | None) -> Iterator[bytes]:
        import obstore

        for at in range(start, stop, _PIECE):
            options: dict[str, Any] = {"range": (at, min(at + _PIECE, stop)), "if_match": tag}
            try:
                answer = obstore.get(self._store, key, options=cast(Any, options))
                piece = bytes(answer.bytes())
            except _store_errors() as error:
                raise explained(error, self.bucket, key, "read") from None
            if answer.meta["e_tag"] != tag:  # not every store looks at If-Match
                raise replaced(self.bucket, key)
            yield piece

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise CancelledError("the run was cancelled before its files were written.")

    def _write(self, key: str, content: Content, uploads: dict[str, _Upload]) -> Artifact:
        upload = uploads[key] = _Upload(self._store, self.bucket, key, self._check_open)
        sink = HashingSink(upload)
        if isinstance(content, bytes):
            sink.write(content)
        else:
            content(cast(BinaryIO, sink))
        self._check_open()
        return Artifact(key=key, media_type=media_type(key), size=sink.size, sha256=sink.hash.hexdigest())


class _Upload:
    """One object on its way: full parts go off in the background, nothing is visible before `publish`."""

    def __init__(self, store: S3Store, bucket: str, key: str, check_open: Callable[[], None]) -> None:
        import obstore

        self._bucket = bucket
        self._key = key
        self._check_open = check_open
        self._part = bytearray()
        self._writer = obstore.open_writer(
            store, key, attributes={"Content-Type": media_type(key)}, buffer_size=PART_BYTES,
            max_concurrency=_PARTS_AT_ONCE,
        )

    def write(self, data: bytes) -> None:
        self._check_open()
        rest = memoryview(data).cast("B")
        while rest:
            taken = rest[: PART_BYTES - len(self._part)]
            self._part += taken
            rest = rest[len(taken) :]
            if len(self._part) == PART_BYTES:
                self._send()

    def flush(self) -> None:
        """Nothing: a part goes off when it is full."""

    def publish(self) -> None:
        if self._part:
            self._send()
        try:
            self._writer.close()
        except _store_errors() as error:
            raise explained(error, self._bucket, self._key, "written") from None

    def abort(self) -> None:
        """Take back what was uploaded; where even that fails, the bucket's rule for incomplete uploads does it."""
        try:
            self._writer.__exit__(CancelledError, None, None)
        except _store_errors():
            _LOG.warning("parts of an incomplete upload may be left behind", extra={"key": self._key})

    def _send(self) -> None:
        part, self._part = self._part, bytearray()
        try:
            self._writer.write(part)  # not copied: nobody else has this part
        except _store_errors() as error:
            raise explained(error, self._bucket, self._key, "written") from None


def _store_errors() -> tuple[type[Exception], ...]:
    """What obstore raises: its own, and OSErrors where a writer or a missing object is concerned."""
    from obstore.exceptions import BaseError

    return (BaseError, OSError)


def _provider(access_key_id: str | None, secret_access_key: str | None) -> Any:
    if access_key_id is None or secret_access_key is None:
        return None
    credential = {
        "access_key_id": access_key_id, "secret_access_key": secret_access_key, "token": None, "expires_at": None,
    }
    return lambda: credential


def _retries(patience: float) -> Any:
    return {
        "max_retries": 10, "retry_timeout": timedelta(seconds=patience),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
    }


def _checked_address(address: str) -> str:
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.query and (
            not parts.fragment and parts.username is None and " " not in address
        ):
            return address.rstrip("/")
    raise UsageError(  # not shown: it may hold a password
        "the address of the store cannot be used.", where="S3 endpoint",
        do="Give one such as https://s3.example.org, without user, password or query.",
    )
