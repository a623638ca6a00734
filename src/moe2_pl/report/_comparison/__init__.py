"""``comparison.html``: what the jobs of a sweep differ in, which of them is best, and what did not end well.

Everything is drawn from :class:`Comparison`, whose values come from what the jobs left; nothing here reads a folder.
"""
