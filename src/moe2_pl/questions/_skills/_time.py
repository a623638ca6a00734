"""Skills about time: weekdays and the clock."""

from moe2_pl.questions._skills._options import Drawn, numbers_near
from moe2_pl.questions._stream import Stream

__all__ = ["DAYS", "clock", "weekdays"]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# months that differ in length from year to year are left out
_MONTHS = {
    "January": 31, "March": 31, "April": 30, "May": 31, "June": 30, "July": 31, "August": 31, "September": 30,
    "October": 31, "November": 30, "December": 31,
}  # fmt: skip


def weekdays(stream: Stream) -> Drawn:
    """The weekday some days before or after another one."""
    first, kind = stream.below(7), stream.below(3)
    if kind == 0:
        days = stream.between(2, 60)
        text = f"Today is {DAYS[first]}. Which weekday is it in {days} days?"
    elif kind == 1:
        days = -stream.between(2, 60)
        text = f"Today is {DAYS[first]}. Which weekday was it {-days} days ago?"
    else:
        month = stream.choice(tuple(_MONTHS))
        date, other = stream.sample(range(1, _MONTHS[month] + 1), 2)
        days = other - date
        text = f"{date} {month} is a {DAYS[first]}. Which weekday is {other} {month} of that year?"
    right = DAYS[(first + days) % 7]
    one, other_, third = stream.sample([day for day in DAYS if day != right], 3)
    return Drawn(text, right, (one, other_, third))


def clock(stream: Stream) -> Drawn:
    """The time some hours and minutes before or after another one, on a 24-hour clock."""
    start, later = 5 * stream.below(288), stream.below(2)
    minutes = 5 * stream.between(3, 70)
    right = (start + minutes if later else start - minutes) % 1440
    hours, rest = divmod(minutes, 60)
    amount = f"{minutes} minutes" if stream.below(2) or not hours else _spoken(hours, rest)
    if later:
        ask = stream.choice(
            (
                "It is {}. What time is it {} later?",
                "A train leaves at {} and travels for {}. When does it arrive?",
            )
        )
    else:
        ask = stream.choice(
            (
                "It is {}. What time was it {} ago?",
                "A film ends at {} after running for {}. When did it begin?",
            )
        )
    wrong = numbers_near(stream, right, stream.choice((5, 10, 20)), 60, _written)
    return Drawn(ask.format(_written(start), amount), _written(right), wrong)


def _written(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _spoken(hours: int, minutes: int) -> str:
    spoken = f"{hours} hour{'s' * (hours > 1)}"
    return f"{spoken} and {minutes} minutes" if minutes else spoken
