"""Events of a call become spans and metrics."""
