"""What holds in every test process.

One thread of torch, and of the linear algebra of numpy and scipy: the promise of equal bytes is per thread count, and
more would contend. Ctrl-C is heard: a shell that starts the tests in the background has it ignored, by them and by
every process that they start. And property tests draw as the profile of that name says (tests/properties.py), the same
examples in every run unless HYPOTHESIS_PROFILE says otherwise. What JAX compiles in one process of a run, the others
load.
"""

import gc
import os
import signal
import tempfile

# As the command `marl` does (marl/__main__.py); read when numpy and scipy are imported, here and in started processes.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import settings

import tests.properties  # noqa: F401 - registers the profiles

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Give all processes of this run one folder for the programs that JAX compiles."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # the user's, or that of the process that started this one
        folder = tempfile.TemporaryDirectory(prefix="marl-jax-")
        os.environ |= {"JAX_COMPILATION_CACHE_DIR": folder.name, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        config.add_cleanup(folder.cleanup)


def pytest_collection_finish():
    """Exempt what all tests share, modules and the tests themselves, from garbage collection: each one visited it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def marl(capsys):
    """Run a command in this process; return its exit code, what it printed, and what it complained."""
    from marl.cli.app import main

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return run
