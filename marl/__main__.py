"""The command `marl`, and `python -m marl`: looks at the platform before anything that needs it is imported."""

import sys


def main() -> None:
    """Run the command line, or say in one sentence where it does not run."""
    if sys.platform == "win32":
        sys.stderr.write(
            "marl: expected Linux, macOS or WSL2, got native Windows, where it is not supported; install it in WSL2\n"
        )
        sys.exit(2)
    from marl.cli.app import main as command_line

    command_line()


if __name__ == "__main__":
    main()
