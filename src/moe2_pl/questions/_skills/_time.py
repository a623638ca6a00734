"""Skills about time: weekdays and the clock."""

from moe2_pl.questions._skills._options import Drawn, numbers_near
from moe2_pl.questions._skills._words import NAMES
from moe2_pl.questions._stream import Stream

__all__ = ["DAYS", "clock", "weekdays"]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_EVENTS = ("concert", "course", "exam", "interview", "match", "meeting", "party", "trip", "visit", "wedding")


def weekdays(stream: Stream) -> Drawn:
    """The weekday some days before or after another one."""
    first, name, event = stream.below(7), stream.choice(NAMES), stream.choice(_EVENTS)
    kind, days = stream.below(4), stream.between(2, 13)
    if kind == 0:
        text = f"Today is {DAYS[first]}, and {name}'s {event} is in {days} days. On which weekday is it?"
    elif kind == 1:
        days, ago = -days, days
        text = f"Today is {DAYS[first]}, and {name}'s {event} was {ago} days ago. On which weekday was it?"
    elif kind == 2:
        text = f"The {event} of {name} is {days} days after {DAYS[first]}. Which weekday is that?"
    else:
        month = stream.choice(_MONTHS)
        date = stream.between(1, 28 - days)
        text = f"{date} {month} is a {DAYS[first]}. {name}'s {event} is on {date + days} {month}. On which weekday?"
    right = DAYS[(first + days) % 7]
    one, other, third = stream.sample([day for day in DAYS if day != right], 3)
    return Drawn(text, right, (one, other, third))


def clock(stream: Stream) -> Drawn:
    """The time some hours and minutes before or after another one, on a 24-hour clock."""
    start, later = 5 * stream.below(288), stream.below(2)
    minutes = 5 * stream.between(2, 34)
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
