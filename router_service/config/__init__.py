"""The YAML file: its shape, its errors with lines, its compilation to domain objects, its reload."""
