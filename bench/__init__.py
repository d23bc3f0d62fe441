"""Measurements that the docs quote; each says in its first lines how to run it."""
