"""`fetchpool tune`: the settings for a list, found by measuring a bounded sample.

sample ──▶ search: as it is ─▶ one change ─▶ better? keep it ─▶ the next ─▶ … ──▶ the command to use
             └──── each measured in turns with the best so far, by `trial` ────┘
"""

from fetchpool.run.tuning.sample import sample_of
from fetchpool.run.tuning.search import Found, Step, search
from fetchpool.run.tuning.trial import Measured, Trials
from fetchpool.run.tuning.tuned import Tuned, tuned

__all__ = ["Found", "Measured", "Step", "Trials", "Tuned", "sample_of", "search", "tuned"]
