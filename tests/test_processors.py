"""What must hold on every processor, with fewer instructions than this one has: each setting in a process of its own.

The libraries choose how they sum when they are loaded, by what the processor has; these variables let them believe that
it has less. Never more: that would crash. MKL_ENABLE_INSTRUCTIONS is heard on Intel's processors alone.
"""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
SETTINGS = {
    "SSE": ({"sse4_1"}, {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
    "AVX2": (
        {"avx2", "fma"},
        {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    ),
    "MKL_CBWR=AVX2": ({"avx2", "fma"}, {"MKL_CBWR": "AVX2"}),
    "AVX-512": (
        AVX512,
        {"MKL_ENABLE_INSTRUCTIONS": "AVX512", "ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    ),
}
WITHOUT = {"SSE": ("",), "AVX2": ("AVX512", "X86_V4")}  # prefixes of the instruction sets that numpy may not use
TESTS = Path(__file__).parent / "marl"
MARKED = [str(path) for path in sorted(TESTS.rglob("test_*.py")) if "mark.processor" in path.read_text("utf-8")]


def processor():
    """Return the processor's name and its instructions, none where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return said.get("model name", platform.processor()), set(said.get("flags", "").split())


@pytest.mark.parametrize("name", SETTINGS)
def test_it_holds_with_fewer_instructions(name):
    """Run the marked tests with a setting."""
    assert MARKED
    needed, variables = SETTINGS[name]
    model, has = processor()
    if missing := needed - has:
        pytest.skip(f"{model} has no {', '.join(sorted(missing))}")
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")} | variables
    if name in WITHOUT:
        found = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", ())
        env["NPY_DISABLE_CPU_FEATURES"] = " ".join(each for each in found if each.startswith(WITHOUT[name]))
    command = [sys.executable, "-m", "pytest", *MARKED, "-m", "processor", "-n", "0", "--tb=short", "-rp"]
    # There OpenVINO takes the processor at its word, oneDNN the variable: bfloat16 gets no answer at all.
    if "ONEDNN_MAX_CPU_ISA" in variables and name != "AVX-512":
        command += ["-k", "not (openvino and bfloat16)"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr
    answered = "-k" in command or re.search(
        r"^PASSED .*(openvino.*bfloat16|bfloat16.*openvino)", done.stdout, re.MULTILINE
    )
    assert answered, f"no test of OpenVINO in bfloat16 has run\n{done.stdout}"
