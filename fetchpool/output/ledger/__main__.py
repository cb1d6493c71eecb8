"""`python -m fetchpool.output.ledger`: write the reference of a record's keys, in Markdown."""

import sys

from fetchpool.output.ledger.reference import render_reference

sys.stdout.write(render_reference())
