"""The evaluation of a frozen gate: plan every budget on validation queries, realise it on held-out ones, certify."""

from moe2_pl.cli.evaluation._certificate import certificate_options
from moe2_pl.cli.evaluation._report_data import report_data
from moe2_pl.cli.evaluation._setting import Setting, prepare

__all__ = ["Setting", "certificate_options", "prepare", "report_data"]
