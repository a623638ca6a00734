"""Running frozen experts (extra: ``experts``): one interface, several backends, meters, and calibration.

Models and libraries are loaded when a backend is first asked.
"""

from moe2_pl.experts._asking import Record, answer_of, ask
from moe2_pl.experts._backend import Answer, Backend, Generated, Scored, TooLong
from moe2_pl.experts._files._adapters import AdapterFiles, find_adapter
from moe2_pl.experts._files._models import ModelFiles, find_model
from moe2_pl.experts._in_process._bases import load_model
from moe2_pl.experts._in_process._llama_cpp import LlamaCppBackend
from moe2_pl.experts._in_process._transformers import TransformersBackend
from moe2_pl.experts._measuring._machine import Peaks, measured_peaks
from moe2_pl.experts._measuring._meter import Meter
from moe2_pl.experts._measuring._timing import RunningModel, timed_observations
from moe2_pl.experts._open import BACKENDS, open_backend

__all__ = [
    "BACKENDS",
    "AdapterFiles",
    "Answer",
    "Backend",
    "Generated",
    "LlamaCppBackend",
    "Meter",
    "ModelFiles",
    "Peaks",
    "Record",
    "RunningModel",
    "Scored",
    "TooLong",
    "TransformersBackend",
    "answer_of",
    "ask",
    "find_adapter",
    "find_model",
    "load_model",
    "measured_peaks",
    "open_backend",
    "timed_observations",
]
