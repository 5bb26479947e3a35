"""The bridge to another interpreter: a real child process, well and badly behaved."""

from __future__ import annotations

import ast
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from synthloom.backends.bridge import AttemptError, Session
from synthloom.backends.specs import BACKENDS, HERE, Limits
from synthloom.domain.errors import BackendError, CancelledError, MissingDependencyError, ResourceError
from synthloom.domain.event import Event, Loss, Notice, Progress

Open = Callable[..., Session]
MINUTE = 60.0


def wait_for(happened: Callable[[], bool], seconds: float = MINUTE) -> bool:
    """Whether something happens in time."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


class Hanging:
    """Whether a host hangs by now, and the processes that it is made of."""

    def __init__(self, note: Path) -> None:
        self.note = note
        self.since: float | None = None

    def begun(self) -> bool:
        """True once the host has written its note down; remembers when that was seen first."""
        if self.since is None and self.note.exists() and self.note.read_text():
            self.since = time.monotonic()
        return self.since is not None

    @property
    def pids(self) -> tuple[int, int]:
        """The host, and the process that it has started."""
        told = json.loads(self.note.read_text())
        return told["worker"], told["child"]

    def gone(self) -> bool:
        """Whether none of them lives any more."""
        return not any(lives(pid) for pid in self.pids)


@pytest.fixture
def hanging(tmp_path: Path) -> Hanging:
    """Watches a host that hangs."""
    return Hanging(tmp_path / "note.json")


# --- what goes over --------------------------------------------------------------------------------------------------


def test_an_action_gets_its_payload_and_answers(open_session: Open, bare_python: Path) -> None:
    payload = {"text": "ä ✓", "numbers": [1, 2.5, None], "deep": {"a": {"b": True}}}
    result = open_session().call("echo", payload).result
    assert result["payload"] == payload
    assert Path(result["executable"]) == bare_python


def test_the_child_sees_a_private_folder_a_minimal_environment_and_nothing_of_ours(
    open_session: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYNTHLOOM_DATABASE_URL", "postgresql://user:secret@host/name")
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    seen = open_session().call("echo").result
    private = Path(seen["folder"]).parent
    assert private.parent == (tmp_path / "private").resolve()
    assert private.stat().st_mode & 0o077 == 0
    assert not seen["ours"]
    environment = seen["environment"]
    assert "secret" not in json.dumps(environment)
    assert not {"SYNTHLOOM_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"} & set(environment)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "TMPDIR"):
        assert Path(environment[name]).parent == private
    assert environment["OMP_NUM_THREADS"] == "3"


def test_threads_are_passed_on(bare_python: Path, tmp_path: Path) -> None:
    host = Path(__file__).with_name("mischief_host.py")
    with Session("sdv", Limits(), folder=tmp_path, threads=1, python=bare_python, host=host) as session:
        environment = session.call("echo").result["environment"]
    assert {environment[n] for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"1"}


def test_a_session_keeps_what_the_host_keeps(open_session: Open) -> None:
    session = open_session()
    assert [session.call("count").result["count"] for _ in range(3)] == [1, 2, 3]
    assert open_session().call("count").result["count"] == 1


def test_events_are_heard_and_nonsense_is_not(open_session: Open) -> None:
    heard: list[Event] = []
    open_session().call("tell", emit=heard.append)
    assert heard == [
        Progress(step="fit", fraction=0.25, message="a quarter"), Loss(name="train", iteration=3, value=0.5),
        Notice(code="advice", message="fewer rows"),
    ]


def test_tables_go_over_and_come_back(open_session: Open) -> None:
    rows = pd.DataFrame({
        "c0": [1.5, -2.25, 1e300], "c1": [1, 2, 2**62], "c2": ["L000", "ä, \"quoted\"", ""], "c3": ["1", "0", "1"],
    }, index=[7, 8, 9])
    reply = open_session(python=Path(sys.executable)).call("back", tables={"rows": rows})
    back = reply.tables["rows"]
    back["c2"], back["c3"] = back["c2"].astype(object), back["c3"].astype(object)
    assert_frame_equal(back, rows.reset_index(drop=True).astype({"c2": object, "c3": object}))
    assert len(reply.tables["head"]) == 2
    assert reply.result["dtypes"]["c1"] == "int64"


def test_two_sessions_at_once_do_not_meet(open_session: Open) -> None:
    first, second = open_session(), open_session()
    folders: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda s=s, n=n: folders.update({n: s.call("echo").result["folder"]}))
        for n, s in (("a", first), ("b", second))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(MINUTE)
    assert folders["a"] != folders["b"]


def test_a_session_outlives_the_thread_that_opened_it(open_session: Open) -> None:
    opened: list[Session] = []
    thread = threading.Thread(target=lambda: opened.append(open_session()))
    thread.start()
    thread.join(MINUTE)
    opened[0].call("count")
    time.sleep(0.2)
    assert opened[0].call("count").result["count"] == 2


def test_nothing_is_left_when_a_session_is_closed(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    session.call("echo")
    session.close()
    session.close()
    assert list((tmp_path / "private").iterdir()) == []
    with pytest.raises(BackendError, match="session has ended"):
        session.call("echo")


def test_a_session_that_is_forgotten_ends(bare_python: Path, tmp_path: Path) -> None:
    host = Path(__file__).with_name("mischief_host.py")
    session = Session("sdv", Limits(), folder=tmp_path, python=bare_python, host=host).__enter__()
    session.call("echo")
    del session
    gc.collect()
    assert wait_for(lambda: list(tmp_path.iterdir()) == [], 2.0)


def test_time_between_calls_does_not_count(open_session: Open) -> None:
    session = open_session(backend_seconds=3)
    session.call("count")
    time.sleep(3)
    assert session.call("count").result["count"] == 2


# --- what goes wrong over there --------------------------------------------------------------------------------------


def test_an_error_of_the_backend_is_quoted_and_the_session_goes_on(open_session: Open) -> None:
    session = open_session()
    with pytest.raises(AttemptError) as caught:
        session.call("fail")
    error = caught.value
    assert (error.kind, error.error, error.code) == ("plugin", "ZeroDivisionError", "backend")
    assert "SDV raised ZeroDivisionError: nothing to divide by." in error.what
    assert "the last thing before it broke" in error.stderr
    assert error.where == "backend sdv, fail"
    assert session.call("count").result["count"] == 1


def test_a_refused_parameter_says_which(open_session: Open) -> None:
    with pytest.raises(AttemptError, match=r"no parameter 'epochz'\. Did you mean epochs\?") as caught:
        open_session().call("refuse")
    assert caught.value.kind == "params"


def test_an_unknown_action_is_refused(open_session: Open) -> None:
    with pytest.raises(AttemptError, match="no action 'dance'"):
        open_session().call("dance")


@pytest.mark.parametrize(
    ("payload", "how"),
    [({"status": 0}, "exit status 0"), ({"status": 3}, "exit status 3"), ({"signal": "SIGSEGV"}, "signal SIGSEGV"),
     ({"signal": "SIGKILL"}, "SIGKILL; perhaps the machine ran out of memory")],
)
def test_a_child_that_ends_is_an_error_with_its_last_words(open_session: Open, payload: dict, how: str) -> None:
    session = open_session()
    with pytest.raises(AttemptError, match=how) as caught:
        session.call("end", payload)
    assert caught.value.kind == "crashed"
    assert "goodbye, says the library" in caught.value.what
    with pytest.raises(BackendError, match="session has ended"):
        session.call("echo")


def test_garbage_and_huge_lines_on_standard_output_do_no_harm(open_session: Open) -> None:
    session = open_session()
    assert session.call("babble").result == {"fine": True}
    assert session.call("count").result["count"] == 1
    with pytest.raises(AttemptError) as caught:
        session.call("fail")
    assert 0 < len(caught.value.stderr) <= 64 * 1024
    assert len(caught.value.what) < 1500


@pytest.mark.parametrize(
    "answer",
    [None, "", "[1, 2]", '{"result": {}}', '{"result": 5, "tables": {}}',
     '{"result": {}, "tables": {"a": "../../work/x"}}', '{"result": {}, "tables": {"a": "request.json"}}'],
)
def test_an_answer_that_is_none_is_an_error(open_session: Open, answer: str | None) -> None:
    with pytest.raises(AttemptError, match="cannot be read") as caught:
        open_session().call("lie", {"answer": answer})
    assert caught.value.kind == "garbage"


def test_not_a_number_is_no_answer(open_session: Open) -> None:
    with pytest.raises(AttemptError, match="ValueError"):
        open_session().call("undefined")


def test_a_missing_interpreter_says_how_to_look(tmp_path: Path) -> None:
    with pytest.raises(AttemptError, match="could not be started") as caught:
        Session("sdv", Limits(), folder=tmp_path, python=tmp_path / "gone").__enter__()
    assert "synthloom backends check sdv" in (caught.value.do or "")
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="synthloom backends install sdv"):
        Session("sdv", Limits(home=str(tmp_path))).__enter__()


# --- how it is stopped -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stubborn", [False, True])
def test_cancelling_kills_it_and_all_it_started_within_a_second(
    open_session: Open, hanging: Hanging, tmp_path: Path, stubborn: bool
) -> None:
    session = open_session()
    with pytest.raises(CancelledError):
        session.call("hang", {"note": str(hanging.note), "stubborn": stubborn}, cancelled=hanging.begun)
    assert hanging.since is not None
    assert time.monotonic() - hanging.since < 1.0
    assert wait_for(hanging.gone, 1.0)
    assert list((tmp_path / "private").iterdir()) == []


def test_its_time_is_limited(open_session: Open, hanging: Hanging) -> None:
    session = open_session(backend_seconds=1.5)
    with pytest.raises(ResourceError, match=r"longer than the 1\.5 seconds"):
        session.call("hang", {"note": str(hanging.note)})
    assert wait_for(hanging.gone, 1.0)


def test_its_memory_is_limited_and_only_it_ends(open_session: Open) -> None:
    other = open_session()
    other.call("count")
    session = open_session(backend_memory_mb=256)
    with pytest.raises(ResourceError, match="more than the 256 MB"):
        session.call("eat")
    assert session.peak_memory_mb > 256
    assert other.call("count").result["count"] == 2


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or Path("/dev/nvidiactl").exists(),
    reason="what a process may allocate is limited on Linux only, and not beside a GPU, whose driver reserves a lot",
)
def test_memory_taken_at_one_go_is_limited_too(open_session: Open) -> None:
    with pytest.raises(ResourceError, match="memory"):
        open_session(backend_memory_mb=256).call("eat", {"at_once": 2e11})


_PARENT = """
import sys
from pathlib import Path
from synthloom.backends.bridge import Session
from synthloom.backends.specs import Limits
python, host, folder, note = sys.argv[1:]
with Session("sdv", Limits(), folder=Path(folder), python=Path(python), host=Path(host)) as session:
    session.call("hang", {"note": note, "stubborn": True})
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_the_process_that_opened_it(
    bare_python: Path, hanging: Hanging, tmp_path: Path, number: signal.Signals
) -> None:
    place = tmp_path / "private"
    place.mkdir()
    host = Path(__file__).with_name("mischief_host.py")
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(bare_python), str(host), str(place), str(hanging.note)]
    ) as parent:
        assert wait_for(hanging.begun)
        parent.send_signal(number)
        parent.wait(MINUTE)
    assert wait_for(hanging.gone, 2.0)
    assert wait_for(lambda: not list(place.iterdir()), 2.0)  # the rows that were handed over are not left behind


def test_killing_its_watcher_kills_it(open_session: Open, hanging: Hanging) -> None:
    session = open_session()

    def kill_watcher() -> bool:
        if hanging.begun():
            parent = int(Path(f"/proc/{hanging.pids[0]}/stat").read_text().rsplit(")", 1)[1].split()[1])
            os.kill(parent, signal.SIGKILL)
            return True
        return False

    killer = threading.Thread(target=lambda: wait_for(kill_watcher))
    killer.start()
    with pytest.raises(AttemptError, match="SIGKILL"):
        session.call("hang", {"note": str(hanging.note)})
    killer.join()
    assert wait_for(hanging.gone, 1.0)


# --- the scripts -----------------------------------------------------------------------------------------------------


def test_host_scripts_run_under_old_pythons_and_need_nothing_of_ours() -> None:
    scripts = [HERE / "hosts" / "shell.py", *(known.host for known in BACKENDS.values())]
    for script in scripts:
        tree = ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 8))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not any(name.split(".")[0] == "synthloom" for name in names)
