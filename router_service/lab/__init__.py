"""Offline work beside the edges: what calls would have cost under another policy."""
