"""One request carried through all stages, and rows of other tools measured. Pure: no files, no environment."""

from synthloom.engine.backing import foresee
from synthloom.engine.evaluate import evaluate
from synthloom.engine.pipeline import MIN_ROWS, REFINE_KEYS, RunResult, execute_pipeline
from synthloom.engine.stages import Ready

__all__ = ["MIN_ROWS", "REFINE_KEYS", "Ready", "RunResult", "evaluate", "execute_pipeline", "foresee"]
