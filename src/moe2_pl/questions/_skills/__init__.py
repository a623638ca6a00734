"""Questions with computed answers, from seeded generators of skills."""

from moe2_pl.questions._skills._draw import SKILLS, skill_questions

__all__ = ["SKILLS", "skill_questions"]
