"""Schemathesis on the local stack: `make fuzz`."""
