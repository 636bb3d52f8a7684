"""``python -m odac``: the same as the command ``odac``."""

from odac.cli import main

if __name__ == "__main__":
    main(prog_name="odac")
