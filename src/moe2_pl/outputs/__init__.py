"""Recorded outputs of experts, the features of queries, and the DataModule that serves both."""
