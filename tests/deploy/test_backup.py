"""The backup of a server on SQLite and a folder, made and put back by the very commands that operators are given."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from pathlib import Path

from deploy_for_tests import ROOT

from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.adapters.local_folder import LocalFolder
from synthloom.testing._desk import A, Desk

HOME = "/var/lib/synthloom"


def commands(section: str) -> str:
    """The shell lines of a section of the page that are about SQLite and a folder, but for systemd's."""
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    part = page.split(f"## {section}\n")[1].split("\n## ")[0].split("With SQLite and a folder")[1]
    block = re.search(r"```console\n(.*?)```", part, re.DOTALL)
    assert block is not None
    return "".join(line for line in block.group(1).splitlines(keepends=True) if not line.startswith("systemctl"))


def carry_out(text: str, home: Path, folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-ec", text.replace(HOME, str(home))], cwd=folder, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_backup_made_by_the_pages_commands_comes_back_by_them(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "backups"
    home.mkdir(mode=0o700)
    folder.mkdir()
    ledger, store = SqlLedger(f"sqlite:///{home / 'synthloom.db'}"), LocalFolder(home / "files" / "datasets")
    ledger.migrate()
    desk = Desk(ledger)
    before = desk.dataset()
    store.put(before.key, b"a\n1\n")
    carry_out(commands("Backup"), home, folder)  # the ledger is open, as in a server that runs
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}, "copies are for their owner alone"
    later = desk.dataset()
    store.delete(before.key)
    wal = (home / "synthloom.db-wal").read_bytes()
    ledger.close()
    (home / "synthloom.db-wal").write_bytes(wal)  # as a server that was killed leaves it
    carry_out(commands("Restore"), home, folder)
    ledger = SqlLedger(f"sqlite:///{home / 'synthloom.db'}")
    assert ledger.datasets(A) == (before,), f"what came after the backup is gone: {later.dataset_id}"
    assert store.get(before.key) == b"a\n1\n"
    ledger.close()
    with sqlite3.connect(home / "synthloom.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert (home / "synthloom.db").stat().st_mode & 0o777 == 0o600
