"""Scores of written answers, each in [0, 1]."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

from moe2_pl.errors import ConfigError, UnknownNameError
from moe2_pl.questions._question import Question

__all__ = ["Scorer", "exact_match", "f1", "scorer_named"]

Scorer = Callable[[str, Question], float]


def exact_match(text: str, question: Question) -> float:
    """1 where the text is one of the accepted answers, but for case, white space and a closing full stop.

    Other signs count: ``-3`` is not ``3``, nor ``1.5`` ``15``.

    Example:
        >>> asked = Question("Who wrote Faust?", "assistant", "trivia", answers=("Goethe",))
        >>> exact_match(" goethe.\\n", asked), exact_match("Schiller", asked)
        (1.0, 0.0)
    """
    given = _plain(text)
    return float(any(given == _plain(answer) for answer in question.answers))


def f1(text: str, question: Question) -> float:
    """Largest token F1 with an accepted answer, as SQuAD counts it: no case, articles or punctuation.

    Example:
        >>> asked = Question("Who wrote Faust?", "assistant", "trivia", answers=("Goethe",))
        >>> round(f1("The poet Goethe", asked), 3)
        0.667
    """
    from torchmetrics.functional.text.squad import squad

    answers: dict[str, list[str] | list[int]] = {
        "text": list(question.answers),
        "answer_start": [0] * len(question.answers),
    }
    found = squad([{"prediction_text": text, "id": "0"}], [{"answers": answers, "id": "0"}])
    return min(float(found["f1"]) / 100, 1.0)


_KNOWN: dict[str, Scorer] = {"exact_match": exact_match, "f1": f1}


@lru_cache(maxsize=64)
def scorer_named(name: str) -> Scorer:
    """The scorer ``exact_match``, ``f1``, or the function ``package.module:function``.

    Raises:
        UnknownNameError: no such scorer, or no such function in the module.
        ConfigError: a module that cannot be imported, or a name that stands for something not callable.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon:
        if name not in _KNOWN:
            raise UnknownNameError("scorer", name, [*_KNOWN, "package.module:function"])
        return _KNOWN[name]
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"scorer '{name}': cannot import '{module_name}' ({error})") from error
    public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    function = getattr(module, function_name, None)
    if function is None:
        raise UnknownNameError(f"function of module '{module_name}'", function_name, public)
    if not callable(function):
        raise ConfigError(f"scorer '{name}' is {function!r}; expected a function (text, question) -> [0, 1]")
    scorer: Scorer = function
    return scorer


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()
