"""The stub and the module agree: names, parameters and their defaults."""

import subprocess
import sys


def test_the_stub_says_what_the_module_says() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "outrider._native"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
