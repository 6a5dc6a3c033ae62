"""A simulated OpenAI-compatible provider that misbehaves the way real ones do."""
