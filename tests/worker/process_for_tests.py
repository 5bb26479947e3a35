"""`synthloom worker` with the children of these tests: a process that can be killed, stopped and asked to end."""

from __future__ import annotations

import os

from synthloom.cli.worker import _work
from synthloom.service import logs
from synthloom.wiring import server_home, settings
from synthloom.worker import Worker

if __name__ == "__main__":
    logs.configure("info", "json")
    home = server_home(settings(), migrate=False)
    worker = Worker(home, child=os.environ.get("CHILD_FOR_TESTS", "child_for_tests"), backoff=0.2)
    _work(worker.run, worker.stop)
    home.close()
