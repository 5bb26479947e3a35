"""Write `migrations/*_synthloom_NNNN.sql`: what Alembic does on PostgreSQL, as SQL for Supabase.

    python supabase/generate.py          write the file of each version that has none
    python supabase/generate.py --check  write nothing; exit with 1 and name what is missing or differs

The files of access and storage beside them are written by hand.
"""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config

from synthloom.adapters.ledger_sql_schema import MIGRATIONS, VERSIONS

FOLDER = Path(__file__).parent / "migrations"
_HEAD = "-- Version {version} of Synthloom's tables. Written by supabase/generate.py out of the Alembic migrations.\n\n"
_FIRST_STAMP = 20261101000000


def wanted() -> dict[Path, str]:
    """Every generated file and its text."""
    return {
        FOLDER / f"{_FIRST_STAMP + 10_000 * number}_synthloom_{version}.sql": sql_of(version, before)
        for number, (before, version) in enumerate(zip(("base", *VERSIONS), VERSIONS, strict=False))
    }


def sql_of(version: str, before: str) -> str:
    """The SQL that brings tables from the version `before` to `version`."""
    written = StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, f"{before}:{version}", sql=True)
    lines = [line.rstrip().replace("\t", "    ") for line in written.getvalue().splitlines()]
    text = "\n".join(line for line in lines if not line.startswith("-- Running"))
    return _HEAD.format(version=version) + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def main() -> int:
    """Write or check; the exit status."""
    stale = [path for path, text in wanted().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        sys.stdout.write(f"{path.name}\n")
        if "--check" not in sys.argv:
            path.write_text(wanted()[path], "utf-8")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
