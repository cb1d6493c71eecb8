"""A `Config` and sources → a finished run, its `Summary` and exit status.

    run(config, sources, output)          for programs: returns the Summary, raises before a start
    run_command(config, sources, output)  for the command line: speaks to a person, returns a status

`runner` has the parts in order: `call` is what is to be done, `choices` what settings come to,
`agreement` compares what all shards of a list have in common, `intake` passes over answered lines,
`recorder` takes outcomes to a `recording`, which has them recorded by `journal` and counted by
`counting`, `ending` makes the summary. `telling` speaks meanwhile, `screen` feeds the display,
`watching` the log file; `stopping` listens to signals, `trouble` names what ends a run early.
`ways` tells which event loop and exchange that would be.
"""

from fetchpool.run.command import run_command
from fetchpool.run.runner import run

__all__ = ["run", "run_command"]
