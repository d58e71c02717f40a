"""The entry point of the program ``skep``."""

from __future__ import annotations

from skep.cli import root


def main() -> None:
    """Run the command line and end the process with its exit code."""
    root.ROOT.main(prog_name="skep")


if __name__ == "__main__":
    main()
