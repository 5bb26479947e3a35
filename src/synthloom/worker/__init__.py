"""Workers: claim runs, let a child process of its own do each, keep the lease alive, settle.

The parent never touches a table: a crash, a cancel, a limit on memory or time ends one child and nobody else.
"""

from synthloom.worker.loop import Worker, worker_loop

__all__ = ["Worker", "worker_loop"]
