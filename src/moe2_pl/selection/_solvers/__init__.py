"""The solvers by name, the record of a search that they share, and the local search that gives them subsets."""
