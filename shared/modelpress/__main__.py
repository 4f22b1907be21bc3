"""``python -m modelpress``: the command line."""

from modelpress.cli.main import main

if __name__ == "__main__":
    main()
