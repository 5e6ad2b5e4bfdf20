import os
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# Without a GPU its kernels are interpreted, on the CPU. Triton asks when it is imported, which may happen anywhere: so
# it is said here, before any test. Nothing else reads it, and kernels of our own are only called on CPU tensors by
# their tests.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # a GPU's products are deterministic with it alone

# The machine may be busy: a slow example is no failure, and a failing one is the same on every machine.
settings.register_profile("mnemon", deadline=None, derandomize=True)
settings.load_profile("mnemon")


@pytest.fixture(autouse=True, scope="session")
def uninitialised_memory_is_nan() -> Iterator[None]:
    """`torch.empty` gives NaN (integers: the largest value), so reading a slot that nothing wrote is seen."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` skip themselves where there is no accelerator."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no accelerator"))
