"""Starts a program of this folder in the app's interpreter: `python -P …/start.py LINKS PROGRAM …`.

LINKS holds a folder for each package of ours. While the program is imported these come first on `sys.path`,
so that ours are found. `loading.load` gives the app its own packages back, see `import_path`.
"""

from __future__ import annotations

import importlib
import os
import sys


def main() -> None:
    """Import the program and run its `main`."""
    _, links, program, *options = sys.argv
    sys.path[:0] = [os.path.join(links, name) for name in os.listdir(links)]  # noqa: PTH118, PTH208 - few imports
    sys.argv = [program, *options]
    importlib.import_module(f"bench.own_app.children.{program}").main()


if __name__ == "__main__":
    main()
