"""The HTTP face: knows HTTP and fields, no rules, no tables."""
