"""Many budgets of one problem as one search."""
