"""Mixture-of-Edge-Experts: which LLMs run on which edge devices, and which one answers each query.

The rooms, each importing only from those before it: ``pool``, ``questions``, ``experts``,
``outputs``, ``gate``, ``selection``, ``certificate``, ``planning``, ``report``, ``cli``.
Nothing is imported here, so that ``--help`` stays fast.
"""
