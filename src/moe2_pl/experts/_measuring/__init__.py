"""Seconds, joules and peaks of the device at hand."""
