"""Words that the skills are made of."""

# ruff: noqa: SIM905 (one word a line would take a screen)

from moe2_pl.questions._stream import Stream

__all__ = ["NAMES", "NOUNS", "invented"]

NOUNS = (
    "anchor apple arrow basket beach bell bird boat book bottle bowl box branch bread bridge brush bucket button "
    "cabin cake camel candle carpet castle chair cherry clock cloud coat coin corn cotton cup curtain desk dish door "
    "dragon drum duck eagle engine fence field finger flag flower forest fork fox frog garden gate ghost glass glove "
    "goat gold grape grass hammer harbour hat hill honey horse house island jacket jar jewel kettle key kite knife "
    "ladder lake lamp leaf lemon letter lion magnet maple market melon mirror monkey moon mouse needle nest nut "
    "oak ocean olive onion orange otter owl paint palace panda paper pearl pencil piano pillow plate plum pond "
    "potato puzzle rabbit radio rain ribbon ring river rocket rope rose saddle salt sand scarf school shell ship shoe "
    "silver snow soap spoon spring star stone sugar sun table tent thread tiger timber tower train tree trumpet "
    "turtle umbrella valley vase village violin wagon wall water wheel whistle willow window winter wolf wool yard "
    "zebra"
).split()

NAMES = (
    "Ada Ben Carla David Elena Felix Grace Hugo Irene Jonas Karin Leo Maria Nils Olga Paul Quinn Rosa Simon Tara Uwe "
    "Vera Walter Yara"
).split()


def invented(stream: Stream, syllables: int) -> str:
    """A word of so many syllables, each a consonant and a vowel."""
    return "".join(stream.choice("bdfgklmnprstvz") + stream.choice("aeiou") for _ in range(syllables))
