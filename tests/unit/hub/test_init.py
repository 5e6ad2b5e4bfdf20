import subprocess
import sys

import pytest

PLAIN = "import sys, mnemon, mnemon.model; sys.exit('transformers' in sys.modules)"
MISSING = "import sys; sys.modules['transformers'] = None; import mnemon.hub"


@pytest.mark.parametrize(("code", "status", "said"), [(PLAIN, 0, ""), (MISSING, 1, "pip install 'mnemon[hf]'")])
def test_transformers_is_asked_for_where_it_is_needed_alone(code: str, status: int, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status
    assert said in done.stderr
    assert "ModuleNotFoundError" not in done.stderr
