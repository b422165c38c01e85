"""`python -m dediag` is `dediag`."""

import sys

from dediag.cli import main

if __name__ == "__main__":
    sys.exit(main())
