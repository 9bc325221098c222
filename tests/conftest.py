"""What holds for all tests."""

import os

import pytest

# Before numpy or torch is imported anywhere: two test processes share two cores, and threads that wait spin.
for library in ("OPENBLAS", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def no_server_is_left():
    """A server that a test started as a client does has ended with it, or will soon. Raises TimeoutExpired."""
    from void_bridge.client import launch

    yield
    for child in launch._started:
        child.wait(timeout=20)
