"""Measurements that are looked at, not asserted: what an answer's time tells (`make bench`)."""
