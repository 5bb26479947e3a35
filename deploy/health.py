"""The health check of the containers: exits with 0, or with 1 and a line that says what is wrong.

    health.py http://127.0.0.1:8000/health/ready   a server answers, with 200
    health.py worker                               a worker's database and stores can be reached
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request


def check_server(address: str) -> None:
    """Raise unless the server answers with 200 within 5 seconds."""
    with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310  # the image's own address
        answer.read()


def check_worker() -> None:
    """Raise unless the database and both stores answer."""
    from synthloom.wiring import server_home, settings

    home = server_home(settings(), migrate=False)
    try:
        home.ledger.counts()
        for store in (home.service.datasets, home.service.artifacts):
            store.exists("health/probe")
    finally:
        home.close()


def main(what: str) -> int:
    """Check, and say what is wrong."""
    try:
        if what == "worker":
            check_worker()
        else:
            check_server(what)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what is wrong
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
