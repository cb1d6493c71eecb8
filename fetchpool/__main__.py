"""`python -m fetchpool` is `fetchpool`."""

import sys

from fetchpool.cli import main

if __name__ == "__main__":
    sys.exit(main())
