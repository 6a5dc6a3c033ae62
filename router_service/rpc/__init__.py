"""The gRPC edge: server, servicer, protobuf to domain and back, the one error translator."""
