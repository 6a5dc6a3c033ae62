"""SQL databases: the one place that opens them. SQLite for one machine, PostgreSQL for a cluster."""
