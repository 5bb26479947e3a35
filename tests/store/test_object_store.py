"""What is particular to a store that speaks S3: unfinished uploads, refusals, signed links, secrets."""

from __future__ import annotations

import logging
import re
import threading
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO

import boto3
import pytest

from synthloom.adapters._s3_sign import Signer
from synthloom.adapters.object_store import PART_BYTES, ObjectStore
from synthloom.domain.artifact import content_disposition
from synthloom.domain.errors import CancelledError, OutputError, StorageUnavailableError, SynthloomError, UsageError

SECRET = "very/secret+key"


def opened(endpoint: str, bucket: str, **more: Any) -> ObjectStore:
    keys = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET, "patience": 0.1}
    return ObjectStore.s3(bucket, endpoint=endpoint, **keys | more)


@pytest.fixture
def store(s3_endpoint: str, s3_bucket: str) -> ObjectStore:
    return opened(s3_endpoint, s3_bucket, public_endpoint=s3_endpoint)


@pytest.fixture
def client(s3_endpoint: str) -> Iterator[Any]:
    """Another client of the same server, to look from outside."""
    client = boto3.client(
        "s3", endpoint_url=s3_endpoint, region_name="us-east-1", aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key=SECRET,
    )
    yield client
    client.close()


class _Answering:
    """A web server that gives every request one answer, and remembers the requests."""

    def __init__(self, status: int, body: str) -> None:
        requests = self.requests = []

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                requests.append((self.command, self.path, dict(self.headers)))
                data = b"" if self.command == "HEAD" else body.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> _Answering:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def xml(code: str) -> str:
    return f"<Error><Code>{code}</Code><Message>of AKIAEXAMPLE</Message><StringToSign>x</StringToSign></Error>"


CALLS: dict[str, Callable[[ObjectStore], object]] = {
    "put": lambda s: s.put("r/x", b"abc"),
    "put big": lambda s: s.put("r/x", bytes(PART_BYTES + 1)),
    "get": lambda s: s.get("r/x"),
    "stream": lambda s: list(s.stream("r/x")),
    "size": lambda s: s.size("r/x"),
    "exists": lambda s: s.exists("r/x"),
    "list": lambda s: s.list(),
    "delete": lambda s: s.delete("r/x"),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def failed(call: Callable[[ObjectStore], object], store: ObjectStore) -> SynthloomError:
    with pytest.raises(SynthloomError) as caught:
        call(store)
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert "AKIAEXAMPLE" not in told, "what the store answers is not passed on"
    assert caught.value.where
    assert caught.value.do
    return caught.value


@each_call
def test_a_missing_bucket_says_so(call: Callable[[ObjectStore], object], s3_endpoint: str) -> None:
    error = failed(call, opened(s3_endpoint, "nobody-made-me"))
    assert isinstance(error, StorageUnavailableError)
    assert error.text().startswith("bucket nobody-made-me")
    assert "there is no such bucket" in error.what


@each_call
def test_a_store_that_is_away_says_so(call: Callable[[ObjectStore], object]) -> None:
    error = failed(call, opened("http://127.0.0.1:1", "artifacts"))
    assert isinstance(error, StorageUnavailableError)
    assert "cannot be reached" in error.what


@each_call
@pytest.mark.parametrize(("status", "code"), [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (401, "X")])
def test_refused_credentials_say_so(call: Callable[[ObjectStore], object], status: int, code: str) -> None:
    with _Answering(status, xml(code)) as server:
        error = failed(call, opened(server.address, "artifacts"))
    assert isinstance(error, StorageUnavailableError)
    assert "credentials" in error.what
    assert "access key" in (error.do or "")


@pytest.mark.parametrize(
    ("status", "code", "kind", "text"),
    [
        (507, "XMinioStorageFull", OutputError, "full"),
        (413, "EntityTooLarge", OutputError, "no object as large"),
        (400, "InvalidKey", OutputError, "InvalidKey"),
        (403, "RequestTimeTooSkewed", StorageUnavailableError, "clock"),
        (503, "SlowDown", StorageUnavailableError, "SlowDown"),
        (500, "", StorageUnavailableError, "status 500"),
    ],
)
@pytest.mark.parametrize("call", ["put", "put big"])
def test_what_a_store_refuses_is_told_in_our_words(
    call: str, status: int, code: str, kind: type[SynthloomError], text: str
) -> None:
    with _Answering(status, xml(code)) as server:
        error = failed(CALLS[call], opened(server.address, "artifacts"))
    assert type(error) is kind
    assert text in error.what
    assert "r/x" in (error.where or "")


def test_a_real_refusal(s3_endpoint: str, s3_bucket: str) -> None:
    def ask_for_keys(after: str) -> None:
        request = urllib.request.Request(f"{s3_endpoint}/moto-api/reset-auth", data=after.encode(), method="POST")
        request.add_header("Content-Type", "text/plain")
        urllib.request.urlopen(request).close()

    ask_for_keys("0")
    try:
        error = failed(CALLS["put"], opened(s3_endpoint, s3_bucket))
    finally:
        ask_for_keys("inf")
    assert isinstance(error, StorageUnavailableError)
    assert "InvalidAccessKeyId" in error.what


def test_a_failed_write_leaves_no_parts(store: ObjectStore, client: Any, s3_bucket: str) -> None:
    def fail(sink: BinaryIO) -> None:
        sink.write(bytes(2 * PART_BYTES + 1))
        assert client.list_multipart_uploads(Bucket=s3_bucket)["Uploads"], "parts are on their way"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put_all({"r/small": b"small", "r/big": bytes(PART_BYTES), "r/x": fail})
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_bucket)
    assert store.list() == ()


def test_where_parts_cannot_be_taken_back_the_first_error_comes_out(caplog: pytest.LogCaptureFixture) -> None:
    started = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"

    with _Answering(200, started) as server:
        store = opened(server.address, "artifacts")

        def fail(sink: BinaryIO) -> None:
            sink.write(bytes(PART_BYTES))
            server.__exit__()
            raise ZeroDivisionError

        with caplog.at_level(logging.WARNING), pytest.raises(ZeroDivisionError):
            store.put("r/x", fail)
    assert "incomplete upload" in caplog.text


def test_what_breaks_while_objects_are_completed_is_told(store: ObjectStore, client: Any, s3_bucket: str) -> None:
    def write(sink: BinaryIO) -> None:
        sink.write(bytes(PART_BYTES))

    def betray(sink: BinaryIO) -> None:
        for upload in client.list_multipart_uploads(Bucket=s3_bucket)["Uploads"]:
            if upload["Key"] == "r/2":
                client.abort_multipart_upload(Bucket=s3_bucket, Key="r/2", UploadId=upload["UploadId"])

    with pytest.raises(OutputError, match="NoSuchUpload") as caught:
        store.put_all({"r/1": write, "r/2": write, "r/3": betray})
    assert "r/2" in (caught.value.where or "")
    assert store.list() == ("r/1",), "S3 completes one object at a time: this is the moment the module speaks of"
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_bucket)


def test_close_stops_a_writer(store: ObjectStore, client: Any, s3_bucket: str) -> None:
    def write(sink: BinaryIO) -> None:
        sink.write(bytes(PART_BYTES))
        store.close()
        sink.write(b"more")

    with pytest.raises(CancelledError):
        store.put("r/x", write)
    with pytest.raises(CancelledError):
        store.put("r/x", b"")
    assert "Uploads" not in client.list_multipart_uploads(Bucket=s3_bucket)
    assert store.list() == ()


def test_media_types_are_the_objects_own(store: ObjectStore, client: Any, s3_bucket: str) -> None:
    store.put("r/synthetic.csv", b"a\n")
    store.put("r/report.html", bytes(PART_BYTES + 1))
    assert client.head_object(Bucket=s3_bucket, Key="r/synthetic.csv")["ContentType"] == "text/csv"
    assert client.head_object(Bucket=s3_bucket, Key="r/report.html")["ContentType"] == "text/html"


def test_the_environment_lends_no_session_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of somebody else")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with _Answering(404, xml("NoSuchKey")) as server:
        failed(CALLS["get"], opened(f"{server.address}/storage/v1/s3/", "artifacts"))
    (command, path, headers), *_ = server.requests
    assert (command, path) == ("GET", "/storage/v1/s3/artifacts/r/x"), "addressed by path, below the endpoint's"
    assert "Credential=AKIAEXAMPLE/" in headers["authorization"]
    assert not [name for name in headers if "security-token" in name.lower()]


@pytest.mark.parametrize("name", ["synthetic.csv", 'größe "1".csv', "a b+c%2F.csv", "ends.", "日本.parquet"])
@pytest.mark.parametrize("key", ["r1/synthetic.csv", "a b/ü+~%.csv"])
@pytest.mark.parametrize("endpoint", ["https://s3.example.org", "https://p.supabase.co/storage/v1/s3", "http://h:9000"])
def test_links_are_signed_as_botocore_signs_them(name: str, key: str, endpoint: str) -> None:
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="eu-north-1", aws_access_key_id="AKIA", aws_secret_access_key=SECRET,
        config=boto3.session.Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    theirs = client.generate_presigned_url("get_object", ExpiresIn=600, Params={
        "Bucket": "artifacts", "Key": key, "ResponseContentDisposition": content_disposition(name),
    })
    client.close()
    stamp = re.search(r"X-Amz-Date=(\w+)", theirs)
    assert stamp
    now = datetime.strptime(stamp[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = Signer(endpoint, "artifacts", "eu-north-1", "AKIA", SECRET).link(key, 600, content_disposition(name), now)
    assert ours.partition("?")[0] == theirs.partition("?")[0]
    assert sorted(ours.partition("?")[2].split("&")) == sorted(theirs.partition("?")[2].split("&"))
    assert SECRET not in repr(Signer(endpoint, "artifacts", "eu-north-1", "AKIA", SECRET))


def test_links_need_an_address_for_browsers_and_an_end(s3_endpoint: str, s3_bucket: str, store: ObjectStore) -> None:
    assert opened(s3_endpoint, s3_bucket).signed_url("r/x", 60, "x.csv") is None
    url = store.signed_url("r/x", 60, "x.csv")
    assert url is not None
    assert SECRET not in url
    for seconds in (0, -1, 604_801):
        with pytest.raises(UsageError, match="cannot last"):
            store.signed_url("r/x", seconds, "x.csv")


def test_a_download_has_a_harmless_name() -> None:
    assert content_disposition("a.csv") == "attachment; filename=\"a.csv\"; filename*=UTF-8''a.csv"
    assert content_disposition("größe.csv").endswith("filename*=UTF-8''gr%C3%B6%C3%9Fe.csv")
    for name in ('a"b.csv', "a\r\nSet-Cookie: x", "../../etc/passwd", "a\\b", "\u202egnp.exe", "", "..."):
        said = content_disposition(name)
        assert said.isascii()
        assert said.isprintable()
        assert said.count('"') == 2
        assert not set("/\\") & set(said)


@pytest.mark.parametrize(
    "address", ["", "s3.example.org", "ftp://x", "https://", "https://u:pw@x", "https://x?y", "https://x y", "https://[x"],
)
def test_what_is_no_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(UsageError, match="address of the store cannot be used") as caught:
        opened(address, "artifacts")
    assert "pw" not in caught.value.text()
    with pytest.raises(UsageError, match="address of the store"):
        opened("https://s3.example.org", "artifacts", public_endpoint=address)


def test_half_a_key_and_no_bucket_are_refused() -> None:
    with pytest.raises(UsageError, match="belong together"):
        opened("https://s3.example.org", "artifacts", secret_access_key=None)
    for bucket in ("", "a/b", "..", "-a", "a b"):
        with pytest.raises(UsageError, match="no bucket's name"):
            opened("https://s3.example.org", bucket)
