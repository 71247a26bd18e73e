"""The Python of docs/how-to/python.md and of the example notebook runs as it stands there, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "examples" / "first_steps.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
PROGRAMS = {
    "guide": "\n".join(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)),
    "notebook": "\n".join("".join(cell["source"]) for cell in CODE),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_runs(program, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    command = [sys.executable, "-W", "ignore:FigureCanvasAgg", "-c", PROGRAMS[program]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^mcts\(simulations=20\): \d+ ± \d+ Elo$", done.stdout, re.MULTILINE)


def test_the_notebook_is_kept_without_outputs():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)
