"""The command `marl`, and `python -m marl`: what comes before anything else is imported."""

import os
import sys


def main() -> None:
    """Run the command line, or say in one sentence where it does not run.

    The linear algebra of numpy and scipy computes with one thread unless the environment says otherwise: their matrices
    are small here, OpenBLAS waits actively for its threads, and results may depend on the number.
    """
    if sys.platform == "win32":
        sys.stderr.write(
            "marl: expected Linux, macOS or WSL2, got native Windows, where it is not supported; install it in WSL2\n"
        )
        sys.exit(2)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy and scipy are imported
    from marl.cli.app import main as command_line

    command_line()


if __name__ == "__main__":
    main()
