"""Several processes that serve one address: a supervisor that starts, restarts and ends them. It never loads gRPC."""
