"""Products of matrices on a CPU at the processor's speed.

Torch hands products of float32 to MKL, whose code for AMD's processors uses half the width of their registers; oneDNN,
which is in torch too, uses all of it. Torch turns to oneDNN only where it may round factors to bfloat16, but oneDNN
rounds only where the processor has a unit for such products and takes float32 as it is everywhere else. So the
permission is given where a trial shows that nothing is rounded; elsewhere all stays as torch has it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

_ONEDNN: Any = torch.backends.mkldnn
"""Under its older name; a module that makes its attributes up, so that nothing is known of their types."""
_SIZE = 256
"""Rows and columns of the trial's matrices: large enough for any unit of a processor to be worth its while."""


class _Permission:
    """oneDNN's permission to multiply. It is the process's: given when the first of several threads comes in, and
    taken back, to what it was, when the last one leaves.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, ""

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = _ONEDNN.matmul.fp32_precision
                _ONEDNN.matmul.fp32_precision = "bf16"
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                _ONEDNN.matmul.fp32_precision = self._before


_permission = _Permission()


@contextmanager
def quick_products() -> Iterator[None]:
    """Let oneDNN multiply float32 matrices on the CPU, if it does so exactly; also a decorator."""
    if not _exact():
        yield
        return
    with _permission:
        yield


@cache
def _exact() -> bool:
    """Whether oneDNN is there and leaves float32 as it is: 1 + 2⁻¹² would come out as 1 from bfloat16."""
    if not _ONEDNN.is_available():
        return False
    with _permission:
        product = torch.full((_SIZE, _SIZE), 1 + 2**-12) @ torch.ones(_SIZE, _SIZE)
    return bool((product == _SIZE * (1 + 2**-12)).all())
