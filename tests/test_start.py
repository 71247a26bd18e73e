import runpy
import sys

import pytest


def test_native_windows_is_refused_before_anything_is_imported(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "marl.cli.app", None)  # importing it would fail
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("marl", run_name="__main__")
    assert ended.value.code == 2 and capsys.readouterr().err.startswith("marl: expected Linux, macOS or WSL2")
