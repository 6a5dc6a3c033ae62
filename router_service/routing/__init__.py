"""Pure routing: match, eligible, rank, decide. No await, no clock, no I/O."""
