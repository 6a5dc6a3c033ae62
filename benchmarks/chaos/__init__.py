"""The chaos matrix: every fault, in every phase, on every attempt, against a provider that keeps its own journal."""
