"""The problem: experts, costs, utility and budget, and what a subset of the experts costs and is worth."""
