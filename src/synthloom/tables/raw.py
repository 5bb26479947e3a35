"""A table as it was found: cells not yet understood."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import pandas as pd

from synthloom.domain.schema import FileFormat


@dataclass(frozen=True)
class RawTable:
    """A table before inference.

    Attributes:
        frame: For text containers (csv, excel) every column is `string[pyarrow]`, each cell exactly as spelt and an
            empty cell "". For parquet and frames the columns have the source's own dtypes.
        file: How the file around the cells was written.
        name: A name for people, such as the file's.
        sha256: Hash of the bytes it was read from, or of its content when it came as a frame.
        first_line: The line (csv) or sheet row (excel) on which the first record would stand, counted from 1, if no
            blank line came before it.
        blank_before: Ascending positions in the frame before which the file has a blank line; one entry a line.
    """

    frame: pd.DataFrame
    file: FileFormat
    name: str
    sha256: str
    first_line: int = 2
    blank_before: tuple[int, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether cells are spelt text that inference must parse."""
        return self.file.container in ("csv", "excel")

    def where(self, column: str | None = None, row: int | None = None) -> str:
        """Words that locate a cell: the table's name, the column, and the line in the file (row from 0 in a frame).

        Args:
            column: Column name, if one is concerned.
            row: Position in the frame, from 0; text files get the line a person sees in an editor.
        """
        parts = [self.name] if self.name else []
        if column is not None:
            parts.append(f"column {column!r}")
        if row is not None:
            parts.append(f"line {self.line_of(row)}" if self.is_text else f"row {row}")
        return ", ".join(parts)

    def line_of(self, row: int) -> int:
        """The file line on which record `row` (from 0) starts; line breaks inside quoted cells are counted."""
        line = self.first_line + row + bisect_right(self.blank_before, row)
        if self.file.container != "csv":
            return line
        head = self.frame.iloc[:row]
        return line + sum(int(head.iloc[:, k].str.count(r"\r\n|\r|\n").sum()) for k in range(head.shape[1]))
