"""Running frozen experts on the device at hand (extra: ``experts``): so far, to calibrate its cost model."""

from moe2_pl.experts._machine import Peaks, measured_peaks
from moe2_pl.experts._timing import RunningModel, timed_observations

__all__ = ["Peaks", "RunningModel", "measured_peaks", "timed_observations"]
