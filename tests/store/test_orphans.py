"""What nobody points to is found, and nothing else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from synthloom.adapters.ledger_memory import MemoryLedger
from synthloom.adapters.local_folder import LocalFolder
from synthloom.cli.app import start
from synthloom.domain.errors import ConflictError, UsageError
from synthloom.domain.records import NewRun, Settlement
from synthloom.domain.run import RunRequest, RunStatus
from synthloom.ports import ArtifactStore, RunLedger
from synthloom.service.orphans import sweep, sweep_stores
from synthloom.service.uploads import Looked, Received, keep
from synthloom.settings import Settings
from synthloom.wiring import server_home


def test_old_files_that_nothing_points_to_are_swept(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    for key in ("run1/report.json", "run1/2/report.json", "run2/report.json", "run3/report.json"):
        store.put(key, b"{}")
        if not key.startswith("run3"):
            os.utime(tmp_path / key, (0, 0))

    def known(keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key == "run1/2/report.json"]

    assert sweep(store, known) == ("run1/report.json", "run2/report.json")
    assert len(store.list()) == 4, "only looked at"
    assert sweep(store, known, remove=True) == ("run1/report.json", "run2/report.json")
    assert store.list() == ("run1/2/report.json", "run3/report.json"), "what is pointed to or young stays"
    assert sweep(store, known, remove=True) == ()


def test_many_files_are_asked_for_in_parts(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    for number in range(1001):
        (tmp_path / "r").mkdir(exist_ok=True)
        (tmp_path / f"r/{number:04}").touch()
        os.utime(tmp_path / f"r/{number:04}", (0, 0))
    sizes: list[int] = []

    def known(keys: Sequence[str]) -> Sequence[str]:
        sizes.append(len(keys))
        return keys

    assert sweep(store, known) == ()
    assert sizes == [500, 500, 1]


def test_young_files_are_never_swept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="may still be needed"):
        sweep(LocalFolder(tmp_path), lambda keys: [], seconds=60)


def stock(ledger: RunLedger, datasets: ArtifactStore, artifacts: ArtifactStore, folder: Path) -> dict[str, list[str]]:
    """Fill stores with what is pointed to and what is not; the keys of the latter, by store."""
    table = folder / "given.csv"
    table.write_bytes(b"a\n1\n")
    received, looked = Received(table, "ab" * 32, 4), Looked(1, ("a",), "text/csv")
    kept, lost = (keep(datasets, "local", received, looked) for _ in range(2))
    dataset = ledger.add_dataset(
        "local", sha256=received.sha256, key=kept, filename="given.csv", media_type="text/csv", size=4,
    )
    for _ in range(2):
        ledger.enqueue(NewRun(dataset_id=dataset.dataset_id, request=RunRequest()))
    done, going = (ledger.claim("worker", 600) for _ in range(2))
    assert done is not None
    assert going is not None
    first, second = f"{done.run.run_id}/report.json", f"{done.run.run_id}/2/report.json"
    keys = (first, second, f"{going.run.run_id}/report.json", f"{'0' * 32}/model.synthloom")
    left = [artifacts.put(key, b"{}") for key in keys]
    ledger.settle(done.lease, Settlement(status=RunStatus.SUCCEEDED, artifacts=(left[1],)))
    return {"datasets": sorted([lost, f"{lost}.columns.json"]), "artifacts": sorted([left[3].key, first])}


def age(*stores: ArtifactStore) -> None:
    """Let a day go by for what stands in the stores."""
    for store in stores:
        assert isinstance(store, LocalFolder)
        for path in store.root.rglob("*"):
            os.utime(path, (time.time() - 90_000,) * 2)


@pytest.fixture(params=["sqlite, folder", "postgres, s3"])
def environment(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables of a server on real parts."""
    found = {"SYNTHLOOM_HOME": str(tmp_path)}
    if request.param == "postgres, s3":
        endpoint, bucket = (request.getfixturevalue(name) for name in ("s3_endpoint", "s3_bucket"))
        found |= {
            "SYNTHLOOM_DATABASE_URL": request.getfixturevalue("postgres_database"), "SYNTHLOOM_STORE": "s3",
            "SYNTHLOOM_S3_ENDPOINT": endpoint, "SYNTHLOOM_S3_ACCESS_KEY_ID": "x",
            "SYNTHLOOM_S3_SECRET_ACCESS_KEY": "y", "SYNTHLOOM_ARTIFACTS_BUCKET": bucket,
            "SYNTHLOOM_DATASETS_BUCKET": request.getfixturevalue("second_bucket"),
        }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def second_bucket(s3_endpoint: str) -> str:
    import urllib.request

    name = f"second-{os.urandom(6).hex()}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/{name}", method="PUT")).close()
    return name


def document(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    start([*words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_an_operator_sweeps_what_no_row_points_to(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = server_home(Settings.from_environment(environment))
    datasets, artifacts = home.service.datasets, home.service.artifacts
    left = stock(home.ledger, datasets, artifacts, tmp_path)
    before = {"datasets": datasets.list(), "artifacts": artifacts.list()}
    assert document(["sweep"], capsys)["result"] == {"deleted": False, "datasets": [], "artifacts": []}, "all are young"
    if "SYNTHLOOM_STORE" in environment:  # a store's clock cannot be put back; ours can be put forward
        now = time.time
        monkeypatch.setattr("synthloom.adapters.object_store.time.time", lambda: now() + 90_000)
    else:
        age(datasets, artifacts)
    assert document(["sweep"], capsys)["result"] == {"deleted": False, **left}
    assert {"datasets": datasets.list(), "artifacts": artifacts.list()} == before, "only looked at"
    assert document(["sweep", "--hours", "48"], capsys)["result"]["artifacts"] == []
    assert document(["sweep", "--delete"], capsys)["result"] == {"deleted": True, **left}
    assert set(datasets.list()) == set(before["datasets"]) - set(left["datasets"])
    assert set(artifacts.list()) == set(before["artifacts"]) - set(left["artifacts"])
    noted = home.access.audit("local")[0]
    assert (noted.action, noted.detail) == ("store.sweep", {"datasets": 2, "artifacts": 2})
    start(["sweep", "--delete"])
    assert "removed no files that nothing points to" in capsys.readouterr().out
    home.close()


def test_a_database_that_points_to_no_file_removes_none(tmp_path: Path) -> None:
    ledger, stores = MemoryLedger(), {"datasets": LocalFolder(tmp_path / "d"), "artifacts": LocalFolder(tmp_path / "a")}
    stock(ledger, stores["datasets"], stores["artifacts"], tmp_path)
    age(*stores.values())
    with pytest.raises(ConflictError, match="points to none of the 8 files"):
        sweep_stores(MemoryLedger(), stores, remove=True)
    assert (len(stores["datasets"].list()), len(stores["artifacts"].list())) == (4, 4)
    assert sum(map(len, sweep_stores(MemoryLedger(), stores, remove=True, even_all=True).values())) == 8
    assert sweep_stores(MemoryLedger(), stores, remove=True) == {"datasets": (), "artifacts": ()}


def test_what_a_killed_writer_left_in_a_folder_is_swept_too(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    (tmp_path / "run1").mkdir()
    (tmp_path / "run1" / ".synthetic.csv.0011aabb.part").write_bytes(b"half")
    age(store)
    assert store.list() == ()
    assert sweep(store, lambda keys: [], remove=True) == ("run1/.synthetic.csv.0011aabb.part",)
    assert list(tmp_path.iterdir()) == []
