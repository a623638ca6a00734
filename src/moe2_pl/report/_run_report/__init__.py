"""``report.html``: its answer, its figures, its tables."""
