"""What the router talks about: frozen values without I/O. Import the module of the noun you need."""
