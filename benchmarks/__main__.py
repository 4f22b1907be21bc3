"""``python -m benchmarks NAME [--quick]``: run one, print its table, write its file (not with ``--quick``)."""

from __future__ import annotations

import argparse
import importlib

from benchmarks.harness import table, write

NAMES = ("axes", "demo", "format", "fuzz-format", "kill", "overhead", "startup", "store", "xray", "zoo")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="a short run that shows it works; writes no file")
    arguments = parser.parse_args()
    figures = importlib.import_module(f"benchmarks.{arguments.name.replace('-', '_')}").run(quick=arguments.quick)
    print(table(figures))
    if not arguments.quick:
        print(f"written to {write(arguments.name, figures)}")


if __name__ == "__main__":
    main()
