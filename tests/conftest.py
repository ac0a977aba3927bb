"""One thread, one seed, no example database: every test gives the same result on every run."""

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("equipoise", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("equipoise")


@pytest.fixture(autouse=True)
def _one_thread_one_seed():
    """Again before each test, because a run sets the number of threads that its recipe asks for."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
