"""How fast a ledger is with many queued runs, on SQLite and PostgreSQL.

    python benchmarks/ledger.py [--runs 10000] [--processes 1 4] [--claims 100] [--write]

PostgreSQL is the one of the tests, with fsync on; SQLite writes with full durability too. `--write` keeps the result in
`results/ledger.md`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from postgres_for_tests import running_postgres
from synthloom.adapters import ledger_sql_tables as tables
from synthloom.adapters.ledger_sql import SqlLedger
from synthloom.domain.records import NewRun, Settlement
from synthloom.domain.run import RunRequest, RunStatus

RESULT = Path(__file__).parent / "results" / "ledger.md"
_TENANTS = 20


def main() -> None:
    """Measure and print; keep it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--claims", type=int, default=100, help="claims and settlements of each process")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--work", nargs=2, metavar=("URL", "CLAIMS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], int(options.work[1]))
        return
    columns = {}
    for name in ("SQLite", "PostgreSQL"):
        with database(name) as url:
            columns[name] = measure(url, options)
    text = table(columns, options)
    print(text)
    if options.write:
        RESULT.write_text(text, "utf-8")


@contextmanager
def database(name: str) -> Iterator[str]:
    """Address of an empty, migrated ledger."""
    with ExitStack() as stack:
        if name == "SQLite":
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/runs.db"
        else:
            url = stack.enter_context(running_postgres(durable=True)).new_database()
        ledger = SqlLedger(url)
        ledger.migrate()
        ledger.close()
        yield url


def measure(url: str, options: argparse.Namespace) -> dict[str, str]:
    """What is measured → what came out."""
    ledger, found = SqlLedger(url), {}
    begun = time.perf_counter()
    cpu = time.process_time()
    queue(ledger, 300)
    found["queueing runs, one thread"] = rate(300, time.perf_counter() - begun, time.process_time() - cpu)
    fill(ledger, options.runs - 300)
    found["a claim alone, then given back"] = spread(lambda: give_back(ledger, None))
    found["… with a limit of 2 runs a tenant, half of the tenants at it"] = at_the_limit(ledger)
    found["a page of 50 runs out of all"] = spread(lambda: ledger.runs("tenant-3", limit=50))
    one = ledger.runs("tenant-3", limit=1).runs[0]
    found["one run"] = spread(lambda: ledger.run(one.tenant, one.run_id))
    found["counts and longest wait (metrics)"] = spread(lambda: (ledger.counts(), ledger.oldest_wait()))
    for count in options.processes:
        workers = [
            subprocess.Popen([sys.executable, __file__, "--work", url, str(options.claims)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True) for _ in range(count)
        ]
        for worker in workers:
            worker.stdout.readline()
        begun = time.perf_counter()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        cpu = sum(float(worker.communicate()[0]) for worker in workers)
        said = f"claim + settle, {count} process{'es' if count > 1 else ''}"
        found[said] = rate(count * options.claims, time.perf_counter() - begun, cpu)
    drain(ledger)
    found["queued to claimed by a worker that waits"] = wake(url, ledger)
    ledger.close()
    return found


def queue(ledger: SqlLedger, runs: int) -> None:
    """Queue runs of twenty tenants."""
    datasets = [
        ledger.add_dataset(f"tenant-{k}", sha256=f"{k:064x}", key="k", filename="f", media_type="text/csv", size=1)
        for k in range(_TENANTS)
    ]
    for number in range(runs):
        data = datasets[number % _TENANTS]
        ledger.enqueue(NewRun(tenant=data.tenant, dataset_id=data.dataset_id, request=RunRequest()))


def fill(ledger: SqlLedger, runs: int) -> None:
    """Queue runs by copying rows: only to have many."""
    names = [c.name for c in tables.runs.c if c.name not in ("seq", "run_id")]
    copied = ", ".join(names)
    fresh = "lower(hex(randomblob(16)))" if ledger._database.is_sqlite else "md5(random()::text || n)"
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {runs})"
    for statement in (
        f"{numbers} INSERT INTO runs (run_id, {copied}) SELECT {fresh}, {copied} FROM numbers"
        f" JOIN (SELECT *, row_number() OVER (ORDER BY seq) AS place FROM runs) AS one ON place = 1 + n % {_TENANTS}",
        "ANALYZE",
    ):
        ledger._database.write(lambda tx, said=statement: tx.execute(sa.text(said)))


def work(url: str, claims: int) -> None:
    """One worker: so many runs claimed and settled; the seconds of CPU that took."""
    ledger = SqlLedger(url)
    ledger.counts()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu = time.process_time()
    for _ in range(claims):
        claim = ledger.claim("worker", 30)
        ledger.settle(claim.lease, Settlement(status=RunStatus.SUCCEEDED))
    print(time.process_time() - cpu)
    ledger.close()


def give_back(ledger: SqlLedger, limit: int | None) -> float:
    """Seconds of a claim; the run goes back to its place."""
    begun = time.perf_counter()
    claim = ledger.claim("worker", 30, tenant_limit=limit)
    took = time.perf_counter() - begun
    ledger.release(claim.lease, delay=0, count=False)
    return took


def at_the_limit(ledger: SqlLedger) -> str:
    """Claims past many runs whose tenants have as many running as they may."""
    held = [ledger.claim("worker", 600, tenant_limit=2) for _ in range(_TENANTS)]
    took = spread(lambda: give_back(ledger, 2))
    for claim in held:
        ledger.release(claim.lease, delay=0, count=False)
    return took


def drain(ledger: SqlLedger) -> None:
    """Take what is queued still out of the way."""
    ledger._database.write(lambda tx: tx.execute(sa.text("DELETE FROM runs WHERE status = 'queued'")))


def wake(url: str, ledger: SqlLedger) -> str:
    """From the moment before a run is queued until another ledger has claimed it."""
    data = ledger.datasets("tenant-0")[0]
    took, done = [], threading.Semaphore(0)

    def worker() -> None:
        other = SqlLedger(url)
        while len(took) < 40:
            claim = other.claim("worker", 30)
            if claim is None:
                other.wait(2)
                continue
            took.append(time.perf_counter() - begun[0])
            other.settle(claim.lease, Settlement(status=RunStatus.SUCCEEDED))
            done.release()
        other.close()

    begun = [0.0]
    thread = threading.Thread(target=worker)
    thread.start()
    for _ in range(40):
        time.sleep(0.05)
        begun[0] = time.perf_counter()
        ledger.enqueue(NewRun(tenant=data.tenant, dataset_id=data.dataset_id, request=RunRequest()))
        done.acquire(timeout=30)
    thread.join()
    return quantiles(took)


def spread(act: Callable[[], object], times: int = 60) -> str:
    """Median and 95th percentile of an act; of what it returns where it times itself."""
    took, cpu = [], time.process_time()
    for _ in range(times):
        begun = time.perf_counter()
        said = act()
        took.append(said if isinstance(said, float) else time.perf_counter() - begun)
    return f"{quantiles(took)}; {1000 * (time.process_time() - cpu) / times:.1f} CPU"


def quantiles(took: list[float]) -> str:
    """Median and 95th percentile in ms."""
    return f"{1000 * statistics.median(took):.1f} / {1000 * statistics.quantiles(took, n=20)[-1]:.1f} ms"


def rate(count: int, seconds: float, cpu: float) -> str:
    """How many a second, and our CPU for each."""
    return f"{count / seconds:,.0f}/s; {1000 * cpu / count:.1f} CPU"


def table(columns: dict[str, dict[str, str]], options: argparse.Namespace) -> str:
    """The result as a page."""
    said = " ".join(sys.argv[1:])
    lines = [
        f"# Ledgers with {options.runs:,} queued runs", "",
        f"`python benchmarks/ledger.py {said}` (Python {platform.python_version()}, {platform.machine()},"
        f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f})", "",
        "Times are median / 95th"
        " percentile. CPU is our own for one of them, in ms, the database's not counted. fsync is on in both.", "",
        f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns),
    ]
    rows = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines += [f"| {name} | {' | '.join(column.get(name, '-') for column in columns.values())} |" for name in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
