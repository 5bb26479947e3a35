"""Write the table that `make run` shows: GBSG2, 686 women with breast cancer, which comes inside the package lifelines.

Source: Schumacher et al., Journal of Clinical Oncology 12 (1994) 2086-2093. `time` is days to recurrence or censoring,
`cens` is 1 when a recurrence was seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lifelines.datasets import load_gbsg2


def main() -> None:
    """Write GBSG2 as CSV to the path given."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    load_gbsg2().to_csv(target, index=False)


if __name__ == "__main__":
    main()
