"""What the command line answers before any work is done: usage, errors, folders, crashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synthloom.cli.app import COMMANDS, app, start
from synthloom.cli.crash import crash_error
from synthloom.cli.options import named_values, sequence_pair, survival_pair
from synthloom.cli.out_folder import check_out, default_out
from synthloom.cli.output import Flags
from synthloom.cli.run import size_words
from synthloom.domain.artifact import ARTIFACT_NAMES
from synthloom.domain.errors import OutputError, UsageError


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = start(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def document(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code, out, _ = answer(words, capsys)
    found: dict[str, Any] = json.loads(out)
    assert list(found) == ["version", "command", "ok", "exit_code", "result", "error", "notices"]
    assert found["exit_code"] == code
    assert found["ok"] == (code == 0)
    return found


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = answer(["--version"], capsys)
    assert (code, err) == (0, "")
    assert out.startswith("synthloom 0.")


GROUPS = {group.name: [c.name for c in group.typer_instance.registered_commands] for group in app.registered_groups}
WORDS = [[c] for c in COMMANDS if c not in GROUPS] + [[str(g), str(c)] for g, known in GROUPS.items() for c in known]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = answer([*words, "--help"], capsys)
    assert code == 0
    assert "--json" in out


def test_a_bare_call_shows_the_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = answer([], capsys)
    assert code == 2
    assert out == ""
    assert "inspect" in err
    assert "error" not in err.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rum"], "No such command"),
        (["run"], "Missing argument"),
        (["run", "x.csv", "--rows", "0"], "--rows"),
        (["run", "x.csv", "--rows", "many"], "--rows"),
        (["run", "x.csv", "--no-such-option"], "--no-such-option"),
        (["run", "x.csv", "--privacy", "medium"], "privacy='medium'"),
        (["run", "x.csv", "--holdout", "2"], "holdout=2.0"),
        (["run", "-", "--holdout", "-"], "only once"),
        (["run", "x.csv", "--refine", "polish"], "polish"),
        (["run", "x.csv", "--param", "leaf"], "NAME=VALUE"),
        (["run", "x.csv", "--survival", "time"], "two columns"),
        (["run", "x.csv", "--sequence", "a,b,c"], "one or two columns"),
        (["schema", "model"], "'model'"),
        (["sample", "m", "--rows", "3", "--json"], "standard output"),
    ],
)
def test_wrong_use_is_two_and_says_what(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = answer(words, capsys)
    if "--json" in words:
        assert told in json.loads(out)["error"]["what"]
    else:
        assert out == ""
        assert told in err
    assert code == 2
    assert "Traceback" not in err
    found = document([*words, "--json"] if "--json" not in words else words, capsys)
    assert found["error"]["code"] == "usage"
    assert found["result"] is None


def test_a_table_that_is_not_there_is_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(
        ["run", str(tmp_path / "none.csv"), "--out", str(tmp_path / "out"), "--json", "--quiet"], capsys,
    )
    assert found["exit_code"] == 3
    assert "none.csv" in found["error"]["where"]
    assert list(tmp_path.iterdir()) == []


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KS_MAX", "lots")
    found = document(["run", "x.csv", "--json"], capsys)
    assert found["exit_code"] == 2
    assert "KS_MAX" in found["error"]["where"]


def test_flags_stop_at_the_double_dash() -> None:
    assert Flags.from_words(["run", "--json", "--", "--quiet"], COMMANDS) == Flags("run", json=True)
    assert Flags.from_words(["table.csv", "-q", "--debug"], COMMANDS) == Flags(None, quiet=True, debug=True)


def test_values_of_parameters_are_json_or_text() -> None:
    assert named_values(["a=1", "b=true", "c=x y", "d=[1, 2]", "e="], "--param") == {
        "a": 1, "b": True, "c": "x y", "d": [1, 2], "e": "",
    }
    assert named_values(["a=1", "b==x"], "--where", parse=False) == {"a": "1", "b": "=x"}
    with pytest.raises(UsageError, match="twice"):
        named_values(["a=1", "a=2"], "--param")


def test_a_sequence_names_a_key_and_perhaps_an_order() -> None:
    assert sequence_pair("patient") == ("patient", None)
    assert sequence_pair(" patient , visit") == ("patient", "visit")
    assert sequence_pair(None) is None


def test_survival_names_two_columns() -> None:
    assert survival_pair(" time , cens") == ("time", "cens")
    assert survival_pair(None) is None


@pytest.mark.parametrize(
    ("table", "name"),
    [("a/b.csv", "b"), ("b.csv.gz", "b"), ("b.CSV", "b"), ("-", "stdin"), (".csv", "csv"), ("no_ending", "no_ending"),
     ("x.2024.parquet", "x.2024")],
)
def test_the_default_folder_is_named_for_the_table(table: str, name: str) -> None:
    assert default_out("results", table) == Path("results") / name


def test_an_earlier_run_may_be_replaced_and_nothing_else(tmp_path: Path) -> None:
    check_out(tmp_path / "new" / "deeper", "t.csv", overwrite=False)
    assert not (tmp_path / "new").exists()
    folder = tmp_path / "run"
    folder.mkdir()
    check_out(folder, "t.csv", overwrite=False)
    for name in ARTIFACT_NAMES:
        (folder / name).touch()
    (folder / ".synthetic.csv.0a1b2c3d.part").touch()
    check_out(folder, "t.csv", overwrite=False)
    (folder / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"notes\.txt"):
        check_out(folder, "t.csv", overwrite=False)
    check_out(folder, "t.csv", overwrite=True)


def test_a_lone_file_with_a_result_s_name_is_not_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "report.pdf").touch()
    with pytest.raises(OutputError, match="not an earlier run"):
        check_out(tmp_path, "t.csv", overwrite=False)


def test_the_table_itself_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "synthetic.csv").touch()
    with pytest.raises(UsageError, match="would be overwritten"):
        check_out(tmp_path, str(tmp_path / "synthetic.csv"), overwrite=True)


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="not a folder"):
        check_out(tmp_path / "out", "t.csv", overwrite=True)
    with pytest.raises(OutputError, match="part of this path"):
        check_out(tmp_path / "out" / "run", "t.csv", overwrite=True)


def test_sizes_in_words() -> None:
    assert [size_words(n) for n in (0, 999, 1000, 1_500_000, 2 * 10**12)] == [
        "0 B", "999 B", "1.0 kB", "1.5 MB", "2000.0 GB",
    ]


def test_a_crash_tells_where_and_never_what_the_data_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHLOOM_LOG_DIR", str(tmp_path))
    secret = "Jane Doe, 1970-01-01"

    def fail() -> None:
        try:
            int(secret)
        except ValueError as cause:
            raise KeyError(secret) from cause

    with pytest.raises(KeyError) as caught:
        fail()
    shown = crash_error(caught.value)
    path = next(tmp_path.iterdir())
    log = path.read_text()
    assert str(path) in shown.text()
    assert "KeyError" in shown.text()
    assert "builtins.ValueError" in log
    assert "test_cli_doors.py" in log
    assert secret not in log + shown.text()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output_is_eight() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from synthloom.cli import main; main(['schema', 'report'])"], stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )
    assert done.returncode == 8
    assert "standard output" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_reader_that_leaves_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -c \"from synthloom.cli import main; main(['schema', 'report'])\" | head -c 1", shell=True,
        capture_output=True, text=True, check=False,
    )
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


LOADING = """
import os, signal, sys, time

class Interrupted:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
            try:
                time.sleep(5)
            except KeyboardInterrupt:
                raise ImportError("this is how packages lose it") from None

sys.meta_path.insert(0, Interrupted())
from synthloom.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_while_packages_are_loaded_is_a_plain_end() -> None:
    done = subprocess.run([sys.executable, "-c", LOADING, "methods"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "cancelled\n")
    done = subprocess.run(
        [sys.executable, "-c", LOADING, "methods", "--json"], capture_output=True, text=True, check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert json.loads(done.stdout)["error"]["code"] == "cancelled"


NOHUP = """
import os, signal, sys, threading
signal.signal(signal.SIGHUP, signal.SIG_IGN)

from synthloom.cli import heed, work
from synthloom.cli.progress import NoDisplay

def job(_emit, cancelled):
    os.kill(os.getpid(), signal.SIGHUP)
    threading.Event().wait(0.2)
    return cancelled()

before = heed(lambda *_: os._exit(130))
print(work.perform(job, NoDisplay()), signal.SIGHUP in before)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_signal_that_nohup_ignores_stays_ignored() -> None:
    done = subprocess.run([sys.executable, "-c", NOHUP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False False\n"), done.stderr
