"""What the methods over modes do first: the table to modes, rows to learn from and rows to check by, a suspect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from synthloom.domain.errors import ParamsError
from synthloom.domain.event import Cancelled, Emit, Progress
from synthloom.domain.schema import Schema
from synthloom.methods._nets.modes import TableModes
from synthloom.methods._nets.training import choose_device
from synthloom.methods._opening import open_codec

_WIDEST = 24_000
"""Codes that all columns together may have, about: with more, each column gets fewer."""
_CHECKED = 2000
"""Most rows held back for checking."""


def open_table(
    table: pd.DataFrame, schema: Schema, rng: np.random.Generator, *, min_support: int, max_modes: int,
    emit: Emit, cancelled: Cancelled,
) -> tuple[TableModes, tuple[np.ndarray, np.ndarray]]:
    """A table's modes, and its cells as modes (n, columns) int64 and places (n, columns) float32.

    Raises:
        FitError: it has no rows.
    """
    share = _WIDEST // max(len(schema.modelled), 1)
    codec = open_codec(
        table, schema, min_support=min_support, max_codes=min(max(share // 4, 16), 256), emit=emit, cancelled=cancelled
    )
    modes = TableModes.of(codec, fitting_modes(max_modes, len(codec.columns)))
    cells = modes.encode(table, rng, cancelled)
    emit(Progress(step="fit", fraction=0.1, message="columns encoded"))
    return modes, cells


def fitting_modes(max_modes: int, columns: int) -> int:
    """Modes for each column on a line: as many as wanted, or fewer where there are very many columns."""
    return min(max_modes, max(_WIDEST // max(columns, 1), 8))


def validation_rows(n: int) -> int:
    """Rows held back to check by: a tenth, at most some thousand; none of fewer than a hundred."""
    return min(n // 10, _CHECKED) if n >= 100 else 0


def split_rows(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows to learn from and rows to check by (`validation_rows`)."""
    shuffled = torch.randperm(n, device="cpu").to(device)
    held = validation_rows(n)
    return shuffled[held:], shuffled[:held]


class Suspect:
    """Finds the column that most likely made a loss infinite or not a number.

    Once weights are broken every column's loss is; so it is the first broken one at the look where it shows, if others
    were still whole, and else the one that cost most when all were.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._costs = list(names), np.zeros(len(names))

    def look(self, cells: Tensor) -> None:
        """Take in what each column's cells cost: (rows, columns)."""
        costs = cells.detach().mean(0).cpu().numpy()
        broken = ~np.isfinite(costs)
        if broken.all():
            return
        self._costs = np.where(broken, np.inf, costs)

    def name(self) -> str | None:
        """The column, if there is any."""
        return self._names[int(np.argmax(self._costs))] if self._names else None


def usable_device(wanted: str, method: str) -> torch.device:
    """The device asked for, or the CPU where it is not there: for models that were trained elsewhere."""
    try:
        return choose_device(wanted, method)
    except ParamsError:
        return torch.device("cpu")
