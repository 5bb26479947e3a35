"""Backends' interpreters: made by pip from a lock, checked, replaced and removed, with a small package of our own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from synthloom.backends._pip import Watch, downloads
from synthloom.backends.environments import catalogue, check, folder, install, remove, status
from synthloom.backends.specs import BACKENDS, Limits, Spec
from synthloom.domain.errors import (
    BackendError,
    CancelledError,
    ConflictError,
    MissingDependencyError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.event import Event, Progress, StepFinished, StepStarted
from synthloom.settings import Settings

HERE = Path(__file__).parent
THIS = sys.version_info[:2]


def write_wheel(folder: Path, version: str) -> str:
    """A wheel of the package toy-backend; its requirement with its hash."""
    folder.mkdir(exist_ok=True)
    name = f"toy_backend-{version}"
    files = {
        "toy_backend.py": f"PLUGIN = 'cube'\nBROKEN = False\nVERSION = '{version}'\n",
        f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: toy-backend\nVersion: {version}\n",
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text)}" for path, text in files.items()
    ]
    files[f"{name}.dist-info/RECORD"] = "\n".join([*record, f"{name}.dist-info/RECORD,,"]) + "\n"
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"toy-backend=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


class Toy:
    """A backend of its own: its lock, its wheels, its settings."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base, self.wheels = place / "base", place / "wheels"
        self.settings = Limits(home=str(place / "home"))
        self.folder = folder(self.settings) / "toy"
        self._monkeypatch = monkeypatch
        for name in ("locks", "hosts"):
            (self.base / name).mkdir(parents=True)
        (self.base / "locks" / "pip.txt").write_text("# the pip that comes with Python will do\n")
        shutil.copy(HERE / "toy_host.py", self.base / "hosts")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(self.wheels))
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        self.announce()
        self.release("1.0")

    def announce(self, *, terms: str | None = None, pythons: tuple[tuple[int, int], ...] = (THIS,),
                 disk_mb: int = 40) -> None:
        """Let the backend be known under these facts."""
        self._monkeypatch.setitem(BACKENDS, "toy", Spec(
            name="toy", title="Toy", version="1.0", licence="MIT", terms=terms, pythons=pythons, download_mb=1,
            disk_mb=disk_mb, packages=("toy-backend", "absent"), base=self.base,
        ))

    def release(self, version: str, *, spoil: str = "") -> None:
        """Let the lock ask for another version; with `spoil`, such digits stand at the end of its hash."""
        line = write_wheel(self.wheels, version).strip()
        (self.base / "locks" / "toy.txt").write_text(line[: len(line) - len(spoil)] + spoil + "\n")

    def leave_half(self) -> None:
        """Leave what an installation leaves that was killed."""
        half = self.folder / "env-dead"
        (half / "bin").mkdir(parents=True)
        (half / "bin" / "python").symlink_to(sys.executable)

    @property
    def interpreters(self) -> list[str]:
        """Folders of interpreters, in use or not."""
        return sorted(p.name for p in self.folder.glob("env-*"))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A backend that can be installed without a network."""
    return Toy(tmp_path, monkeypatch)


def test_a_backend_is_installed_used_replaced_and_removed(toy: Toy) -> None:
    assert status("toy", toy.settings).reason == (
        "it is not installed. Install it with: synthloom backends install toy"
    )
    toy.leave_half()
    assert "was not finished" in (status("toy", toy.settings).reason or "")
    toy.announce(terms="You may play with it, but not sell it.")
    assert not status("toy", toy.settings).licence_accepted
    events: list[Event] = []
    made = install("toy", toy.settings, accept_licence=True, emit=events.append)
    assert made.licence_accepted
    assert json.loads((toy.folder / "installed.json").read_text())["licence_accepted"].startswith("20")
    assert made.installed
    assert made.reason is None
    assert made.versions["toy-backend"] == "1.0"
    assert made.versions["python"].startswith(f"{THIS[0]}.{THIS[1]}.")
    assert "absent" not in made.versions
    assert made.python is not None
    assert made.python.is_relative_to(toy.folder)
    assert [e.step for e in events if isinstance(e, StepStarted)] == ["environment", "download", "install", "check"]
    assert [e.step for e in events if isinstance(e, StepFinished)] == ["environment", "download", "install", "check"]
    assert all(0 <= e.fraction <= 1 for e in events if isinstance(e, Progress))
    assert [p["name"] for p in catalogue("toy", toy.settings)["plugins"]] == ["cube"]
    assert check("toy", toy.settings)["plugins"] == 1

    first = toy.interpreters  # what a killed installation had left is gone
    assert len(first) == 1
    toy.announce()
    module = next(toy.folder.glob("env-*/lib/python*/site-packages/toy_backend.py"))
    module.write_text(module.read_text().replace("BROKEN = False", "BROKEN = True"))
    with pytest.raises(BackendError, match="the toy is broken"):
        check("toy", toy.settings)

    toy.release("2.0", spoil="0123456789")  # a lock that is not the one that was installed, and whose hash is wrong
    stands = status("toy", toy.settings)
    assert not stands.installed
    assert "another release of Synthloom" in (stands.reason or "")
    with pytest.raises(BackendError, match=r"(?i)hash"):
        install("toy", toy.settings)
    assert toy.interpreters == first  # the one that was there is not lost to one that is not made

    toy.release("3.0")
    assert install("toy", toy.settings).versions["toy-backend"] == "3.0"
    assert len(toy.interpreters) == 1
    assert toy.interpreters != first

    shutil.rmtree(toy.folder / toy.interpreters[0])
    assert "its interpreter is gone" in (status("toy", toy.settings).reason or "")
    assert remove("toy", toy.settings)
    assert not toy.folder.exists()
    assert not remove("toy", toy.settings)
    with pytest.raises(MissingDependencyError, match="synthloom backends install toy"):
        catalogue("toy", toy.settings)


def test_without_a_network_it_says_so_and_nothing_is_left(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(BackendError) as caught:
        install("toy", toy.settings)
    assert "reaches the package index" in (caught.value.do or "")
    assert toy.interpreters == []


def test_downloads_lie_beside_the_interpreter_until_they_are_unpacked(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_CACHE_DIR", raising=False)
    monkeypatch.delenv("PIP_NO_CACHE_DIR", raising=False)
    place = toy.folder / "downloads"
    (place / "tmp" / "of-a-killed-one").mkdir(parents=True)
    kept = place / "cache" / "http-v2" / "wheel"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"downloaded before")
    toy.release("1.0", spoil="0123456789")
    with pytest.raises(BackendError, match=r"(?i)hash"):
        install("toy", toy.settings)
    assert kept.exists()  # what was downloaded serves the next try
    assert not (place / "tmp").exists()
    toy.release("1.0")
    seen: dict[str, bool] = {}

    def heard(event: Event) -> None:
        if isinstance(event, Progress) and event.step in ("download", "install"):
            seen[event.step] = kept.exists()

    install("toy", toy.settings, emit=heard)
    assert seen["install"] is False  # a second copy of what is being unpacked would only fill the disk
    assert not place.exists()
    with downloads(place) as chosen:
        assert Path(chosen.environment["PIP_CACHE_DIR"]).is_relative_to(place)
        assert Path(chosen.environment["TMPDIR"]).is_dir()
    monkeypatch.setenv("PIP_CACHE_DIR", str(toy.base))
    with downloads(place) as chosen:
        assert "PIP_CACHE_DIR" not in chosen.environment  # a cache that the person named is pip's to keep


def test_a_stopped_installation_leaves_nothing(toy: Toy) -> None:
    stopped: list[float] = []

    def cancelled() -> bool:
        if toy.interpreters and not stopped:
            stopped.append(time.monotonic())
        return bool(stopped)

    with pytest.raises(CancelledError):
        install("toy", toy.settings, cancelled=cancelled)
    assert time.monotonic() - stopped[0] < 2.0
    assert toy.interpreters == []


def test_two_cannot_install_at_once(toy: Toy) -> None:
    begun, hold = threading.Event(), threading.Event()

    def slowly() -> bool:
        begun.set()
        hold.wait(60)
        return True

    def first() -> None:
        with pytest.raises(CancelledError):
            install("toy", toy.settings, cancelled=slowly)

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(60)
    for attempt in (install, remove):
        with pytest.raises(ConflictError, match="already"):
            attempt("toy", toy.settings)
    hold.set()
    thread.join(60)
    assert toy.interpreters == []


def test_terms_must_be_accepted(toy: Toy) -> None:
    toy.announce(terms="You may play with it, but not sell it.")
    with pytest.raises(UsageError, match="not sell it") as caught:
        install("toy", toy.settings)
    assert "--accept-licence" in (caught.value.do or "")
    assert not toy.folder.exists()


def test_too_small_a_disk_is_told_before_anything_is_done(toy: Toy) -> None:
    toy.announce(disk_mb=10**9)
    with pytest.raises(BackendError, match="GB are free"):
        install("toy", toy.settings)
    assert toy.interpreters == []


@pytest.mark.parametrize("wanted", ["no-such-python", "/dev/null", sys.executable])
def test_a_python_that_does_not_fit_is_refused(toy: Toy, wanted: str) -> None:
    toy.announce(pythons=((3, 7),))
    with pytest.raises(UsageError) as caught:
        install("toy", toy.settings, python=wanted)
    assert caught.value.where == "--python"


def test_no_fitting_python_says_which_would_do(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.announce(pythons=((3, 7),))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BackendError, match=r"runs on Python 3\.7, and none was found"):
        install("toy", toy.settings)


def test_a_folder_that_cannot_be_made_is_told(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match="cannot be made"):
        install("toy", Limits(home=str(tmp_path / "file")))


def test_a_damaged_note_counts_as_not_installed(toy: Toy) -> None:
    toy.folder.mkdir(parents=True)
    for text in ("", "[]", "{\"environment\": 5}", "{\"environment\": \"../x\", \"lock\": \"\", \"versions\": {}}"):
        (toy.folder / "installed.json").write_text(text)
        assert not status("toy", toy.settings).installed


def test_pips_words_become_progress(tmp_path: Path) -> None:
    told: list[tuple[str, float, str]] = []
    watch = Watch(4, tmp_path, lambda *what: told.append(what))
    for line in (
        "Looking in indexes: https://pypi.org/simple", "Collecting numpy==1.26.4 (from -r lock.txt (line 3))",
        "  Downloading numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl (18.3 MB)", "Progress 9000000 of 18000000",
        "Progress none of it", "Processing /mirror/torch-2.2.2-cp311-cp311-manylinux1_x86_64.whl", None,
        "Installing collected packages: numpy, torch",
    ):
        watch(line)
    (tmp_path / "numpy-1.26.4.dist-info").mkdir()
    watch(None)
    assert told == [
        ("download", 0.0, "numpy"), ("download", 0.125, "numpy, 9 of 18 MB"), ("download", 0.25, "torch"),
        ("download", 1.0, "2 packages"), ("install", 0.0, "2 packages"), ("install", 0.5, "1 of 2 packages"),
    ]


def test_an_unknown_backend_gets_a_suggestion() -> None:
    for attempt in (status, catalogue, install, check, remove):
        with pytest.raises(UnknownNameError, match="Did you mean synthcity"):
            attempt("synthcty", Limits())


def test_the_settings_say_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert folder(Settings(home=str(tmp_path))) == tmp_path / "backends"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if sys.platform.startswith("linux"):
        assert folder(Settings()) == tmp_path / "data" / "synthloom" / "backends"


@pytest.mark.parametrize("name", ["synthcity", "sdv"])
def test_the_real_locks_pin_every_package_with_its_hash(name: str) -> None:
    spec = BACKENDS[name]
    lines = [x for x in spec.lock.read_text().splitlines() if x and not x.startswith("#")]
    heads = [x for x in lines if not x.startswith(" ")]
    assert all("==" in x and x.endswith("\\") for x in heads)
    assert all(x.strip().startswith("--hash=sha256:") for x in lines if x.startswith(" "))
    assert any(x.startswith(f"{name}=={spec.version} ") for x in heads)
    assert spec.installer.read_text().count("==") == 1
    assert spec.host.is_file()


