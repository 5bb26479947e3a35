"""Every store keeps the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synthloom.adapters.local_folder import LocalFolder
from synthloom.adapters.memory import MemoryStore
from synthloom.adapters.object_store import ObjectStore
from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import ContractError
from synthloom.ports import Content
from synthloom.testing.check_store import STORE_CHECKS, Check, check_store

each = pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.name)


@each
def test_memory(check: Check, request: pytest.FixtureRequest) -> None:
    if check.name == "bounded_memory":
        request.applymarker(pytest.mark.xfail(reason="it keeps all it holds in memory", raises=ContractError))
    check.run(MemoryStore())


@each
def test_folder(check: Check, tmp_path: Path) -> None:
    check.run(LocalFolder(tmp_path / "store"))
    assert [p for p in tmp_path.rglob("*") if p != tmp_path / "store"] == [], "no file and no folder is left"


@each
def test_s3(check: Check, s3_bucket: str, s3_endpoint: str) -> None:
    store = ObjectStore.s3(
        s3_bucket, endpoint=s3_endpoint, access_key_id="key", secret_access_key="secret", public_endpoint=s3_endpoint,
    )
    check.run(store)
    assert store.list() == ()


class _Careless(MemoryStore):
    """A store as one writes it in a hurry."""

    def put_all(self, contents: dict[str, Content]) -> tuple[Artifact, ...]:  # type: ignore[override]
        return tuple(super(_Careless, self).put_all({key: content})[0] for key, content in contents.items())

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        yield self.get(key)[start:end]

    def exists(self, key: str) -> bool:
        return any(name.startswith(key) for name in self.list())


def test_the_suite_finds_what_is_careless() -> None:
    with pytest.raises(ContractError) as caught:
        check_store(_Careless())
    found = {line.split(":")[1].strip() for line in caught.value.text().splitlines()[1:]}
    assert found >= {"path_tricks", "unknown_keys", "failing_writers", "half_written", "ranges"}
