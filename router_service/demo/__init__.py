"""`make demo`: the whole service over a simulated provider, with prompts that ship with the project."""
