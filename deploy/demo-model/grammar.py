"""The one text generator of the demo corpus: templates with choices and slots.

`[a|b|c]` picks one alternative (they nest), `{name}` inserts a slot. All randomness
comes from the `random.Random` that is passed in, so a seed fixes the text.
"""

import re

_INNERMOST_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


def expand(template, rng, slots=None):
    """Returns `template` with every choice made and every slot filled."""
    while True:
        template, count = _INNERMOST_CHOICE.subn(
            lambda match: rng.choice(match.group(1).split("|")), template)
        if count == 0:
            break
    return _SLOT.sub(lambda match: str(slots[match.group(1)]), template)


def article(noun):
    """Returns `noun` with its indefinite article: `a dog`, `an owl`."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun
