"""What needs a real Prometheus runs by `make monitoring-test`, which says in PROMETHEUS the folder of its programs."""

import os

collect_ignore = [] if os.environ.get("PROMETHEUS") else ["test_prometheus.py"]
