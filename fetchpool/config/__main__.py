"""`python -m fetchpool.config`: write the reference of all options, in Markdown."""

import sys

from fetchpool.config.reference import render_reference

sys.stdout.write(render_reference())
