"""What a writer function writes into: it counts and hashes what goes through."""

from __future__ import annotations

import hashlib
from typing import Protocol


class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


class HashingSink:
    """A write-only binary file that counts and hashes what goes through it.

    Args:
        target: Where the bytes go on to.
    """

    def __init__(self, target: _Writable) -> None:
        self._target = target
        self.hash = hashlib.sha256()
        self.size = 0
        self.closed = False  # pyarrow asks

    def write(self, data: bytes) -> int:
        """Pass the bytes on; their number."""
        self._target.write(data)
        self.hash.update(data)
        size = memoryview(data).nbytes
        self.size += size
        return size

    def tell(self) -> int:
        """Bytes so far."""
        return self.size

    def flush(self) -> None:
        """Pass on what is held back, where the target can."""
        self._target.flush()

    def writable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """False."""
        return False

    def seekable(self) -> bool:
        """False."""
        return False

    def close(self) -> None:
        """Nothing: the store ends the file; a writer that closes its sink may do so."""
