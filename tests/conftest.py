"""What holds for all tests."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Before numpy or torch is imported anywhere: two test processes share two cores, and threads that wait spin.
for library in ("OPENBLAS", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# No test is timed: a busy machine is no fault.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_setting_is_left():
    """What a test sets for itself goes with it: the next one reads the same configuration."""
    before = _settings_in_the_environment()
    yield
    assert _settings_in_the_environment() == before


def _settings_in_the_environment():
    return {name: value for name, value in os.environ.items() if name.startswith("VOID_BRIDGE_")}


@pytest.fixture(scope="session", autouse=True)
def no_server_is_left():
    """A server that a test started as a client does has ended with it, or will soon. Raises TimeoutExpired."""
    from void_bridge.client import launch

    yield
    for child in launch._started:
        child.wait(timeout=20)
