import subprocess
import sys

CODE = """
import sys
import mnemon.model
assert "transformers" not in sys.modules
sys.modules["transformers"] = None
import mnemon.hub
"""


def test_transformers_is_asked_for_where_it_is_needed_alone() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("Problem: mnemon.hub needs transformers: pip install 'mnemon[hf]'")
