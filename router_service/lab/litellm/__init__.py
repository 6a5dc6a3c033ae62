"""Reading a litellm proxy's configuration as one of this router."""
