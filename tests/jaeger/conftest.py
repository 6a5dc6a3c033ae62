"""These run by `make jaeger-test`, which says in JAEGER where a Jaeger v2 is, and in CALLER the built Go program."""

import os

collect_ignore_glob = [] if os.environ.get("JAEGER") and os.environ.get("CALLER") else ["test_*.py"]
