"""What holds for all tests."""

import os

from hypothesis import HealthCheck, settings

# How long an example takes, to run or to draw, says more of the machine than of the code.
settings.register_profile("llmrouter", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("llmrouter")

# Commands that tests start record calls only where a test asks for it, and never where the user's are.
os.environ["LLMROUTER_LEDGER"] = ""
