"""Chat turns of the demo corpus: each task makes (user text, assistant text) pairs.

`TASKS` maps a task name to (weight, maker). A maker takes a `random.Random` and returns a
list of turns, so a task may need several (a name that is asked for later). `vary()` roughens
the user side: case, punctuation, politeness.
"""

from facts import (ABOUT, ALPHABET, ANIMAL_SOUNDS, CAPITALS, COLOUR_OF, DAYS, FALLBACK_QUESTIONS,
                   LEGS, LISTS, MIXES, MONTHS, NUMBER_WORDS, OPPOSITES, SEASONS, SYLLABLES, WORDS)
from grammar import expand
from stories import ANIMALS, BOYS, GIRLS, story_about

_FALLBACK = "I do not know that. I am only a small demonstration model."
_ASK = "[What is|What is|What is|What's|How much is|Calculate|Can you tell me what is|Tell me]"


def vary(text, rng):
    """Returns the user text, sometimes in lower case, without its last mark, or politer."""
    if rng.random() < 0.12:
        text = text[0].lower() + text[1:] if rng.random() < 0.5 else text.lower()
    if rng.random() < 0.12 and text[-1] in ".?!":
        text = text[:-1]
    elif rng.random() < 0.06 and text[-1] == "?":
        text = text[:-1] + ", please?"
    return text


def _operand(rng):
    return rng.randint(0, 99) if rng.random() < 0.85 else rng.randint(0, 20)


def _sum_phrase(rng, a, b, word, sign):
    return expand(rng.choice([
        f"{_ASK} {a} {word} {b}?", f"{_ASK} {a} {word} {b}?", f"{_ASK} {a} {sign} {b}?",
        f"{a} {sign} {b} = ?", f"{a} {sign} {b} =", f"{a} {sign} {b}", f"{a} {word} {b}?",
        f"{a}{sign}{b}"]), rng)


def addition(rng):
    a, b = _operand(rng), _operand(rng)
    text = _sum_phrase(rng, a, b, "plus", "+")
    if rng.random() < 0.12:
        text = expand(f"[Add {a} and {b}.|What is the sum of {a} and {b}?]", rng)
    return [(text, str(a + b))]


def subtraction(rng):
    a, b = sorted((_operand(rng), _operand(rng)), reverse=True)
    text = _sum_phrase(rng, a, b, "minus", "-")
    if rng.random() < 0.1:
        text = f"Subtract {b} from {a}."
    return [(text, str(a - b))]


def multiplication(rng):
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    return [(_sum_phrase(rng, a, b, "times", rng.choice("*x")), str(a * b))]


def word_sums(rng):
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    return [(expand(f"{_ASK} {NUMBER_WORDS[a]} plus {NUMBER_WORDS[b]}?", rng), str(a + b))]


def comparison(rng):
    a, b = rng.sample(range(100), 2)
    word = rng.choice(["bigger", "larger", "smaller"])
    answer = min(a, b) if word == "smaller" else max(a, b)
    return [(expand(f"[Which is|Which number is|What is] {word}, {a} or {b}?", rng), str(answer))]


def counting(rng):
    start = rng.choice([1, 1, rng.randint(0, 80)])
    last = start + rng.randint(2, 14)
    numbers = list(range(start, last + 1))
    kind = rng.random()
    if kind < 0.25:
        text = expand(f"[Count down|Count backwards|Please count down] from {last} to {start}.", rng)
        numbers.reverse()
    elif start == 1 and kind < 0.7:
        text = expand(f"[Count|Please count|Can you count] to {last}.", rng)
    else:
        text = expand(f"[Count|Please count|Can you count|Count up] from {start} to {last}.", rng)
    return [(text, ", ".join(map(str, numbers)))]


def next_number(rng):
    number = rng.randint(1, 98)
    word, step = rng.choice([("after", 1), ("before", -1)])
    text = expand(f"[What|Which] number comes [right |just |]{word} {number}?", rng)
    return [(text, str(number + step))]


def pseudo_word(rng):
    """Returns a word that no list holds, so that repeating is copying and not recall."""
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 3)))


def _phrase(rng):
    kind = rng.random()
    if kind < 0.45:
        words = [rng.choice(WORDS) for _ in range(rng.randint(1, 7))]
    elif kind < 0.6:
        words = [pseudo_word(rng) for _ in range(rng.randint(1, 4))]
    elif kind < 0.75:
        words = [str(rng.randint(0, 999)) for _ in range(rng.randint(1, 4))]
    else:
        words = expand(rng.choice([
            "The [{a}|{b}] is [{c}|{d}].", "I like {a} and {b}.", "We saw {a}, {b} and {c}.",
            "My {a} has a {c} {b}.", "Is the {a} in the {b}?", "The {c} {a} likes the {d} {b}!"]),
            rng, {key: rng.choice(WORDS) for key in "abcd"}).split()
    if rng.random() < 0.3:
        words[0] = words[0].capitalize()
    return " ".join(words)


def repetition(rng):
    phrase = _phrase(rng)
    ask = expand("[Repeat after me|Repeat after me|Repeat|Say|Please repeat|Please say|"
                 "Repeat this|Say this|Echo|Repeat the words]:", rng)
    return [(rng.choice([f"{ask} {phrase}", f"{ask} {phrase}", f'{ask} "{phrase}"']), phrase)]


def colours(rng):
    thing, colour = rng.choice(list(COLOUR_OF.items()))
    spelling = rng.choice(["colour", "colour", "color"])
    verb = "are" if thing.endswith("s") and thing != "grass" else "is"
    text = rng.choice([f"What {spelling} {verb} {thing}?", f"What {spelling} {verb} {thing}?",
                       f"Which {spelling} {verb} {thing}?", f"What is the {spelling} of {thing}?",
                       f"Tell me the {spelling} of {thing}."])
    subject = thing[0].upper() + thing[1:]
    return [(text, f"{subject} {verb} {colour}.")]


def mixing(rng):
    (a, b), mixed = rng.choice(list(MIXES.items()))
    a, b = rng.sample([a, b], 2)
    text = expand(f"[What do you get when you mix|What colour do you get if you mix|Mix] {a} and {b}"
                  "[?|?|?]", rng)
    return [(text, f"{a.capitalize()} and {b} make {mixed}.")]


def calendar(rng):
    kind, names = rng.choice([("day", DAYS), ("day", DAYS), ("month", MONTHS), ("season", SEASONS)])
    index = rng.randrange(len(names))
    word, step = rng.choice([("after", 1), ("after", 1), ("before", -1)])
    other = names[(index + step) % len(names)]
    if kind == "season":
        other, name = other.capitalize(), names[index]
    else:
        name = names[index]
    text = expand(f"[What|What|Which] {kind} [comes|comes|is] {word} {name}?", rng)
    if kind == "day" and rng.random() < 0.2:
        now, then, step = rng.choice([("Today", "tomorrow", 1), ("Today", "yesterday", -1)])
        other = names[(index + step) % len(names)]
        verb = "is" if step == 1 else "was"
        text = f"{now} is {name}. What day {verb} {then}?"
    return [(text, other)]


def alphabet(rng):
    index = rng.randint(1, 24)
    word, step = rng.choice([("after", 1), ("before", -1)])
    text = expand(f"[What|Which] letter comes {word} {ALPHABET[index]}?", rng)
    return [(text, ALPHABET[index + step])]


def opposites(rng):
    word, other = rng.choice(list(OPPOSITES.items()))
    text = expand(f"[What is the opposite of {word}?|What is the opposite of {word}?|"
                  f"What's the opposite of {word}?|Tell me the opposite of {word}.|"
                  f"Give me the opposite of {word}.|Opposite of {word}?]", rng)
    return [(text, f"The opposite of {word} is {other}.")]


def animals(rng):
    animal, sound = rng.choice(list(ANIMAL_SOUNDS.items()))
    if rng.random() < 0.6:
        text = expand(f"[What does a {animal} say?|What sound does a {animal} make?]", rng)
        return [(text, f"A {animal} says {sound}.")]
    animal, legs = rng.choice(list(LEGS.items()))
    return [(f"How many legs does a {animal} have?", f"A {animal} has {legs} legs.")]


def lists(rng):
    questions, answer = rng.choice(LISTS)
    return [(expand(questions, rng), answer)]


def capitals(rng):
    country, city = rng.choice(list(CAPITALS.items()))
    return [(expand(f"[What is|What's|Tell me] the capital of {country}?", rng),
             f"The capital of {country} is {city}.")]


def about(rng):
    questions, answer = rng.choice(ABOUT)
    return [(expand(questions, rng), answer)]


def names(rng):
    """Someone tells a name, something else may be asked, then the name is asked for."""
    name = rng.choice(GIRLS + BOYS) if rng.random() < 0.6 else pseudo_word(rng).capitalize()
    turns = [(expand(f"[Hello! |Hi, |Hi! |]My name is {name}[.|!]", rng),
              f"Nice to meet you, {name}! How can I help you?")]
    for _ in range(rng.choice([0, 0, 1, 2])):
        turns += rng.choice([addition, opposites, colours, calendar])(rng)
    turns.append((expand("[What is my name?|What's my name?|Do you know my name?|"
                         "Do you remember my name?]", rng), f"Your name is {name}."))
    return turns


def stories(rng):
    animal = rng.choice(ANIMALS) if rng.random() < 0.7 else None
    of_whom = f" about {'an' if animal[0] in 'aeiou' else 'a'} {animal}" if animal else ""
    ask = expand("[Tell me|Please tell me|Can you tell me|Write|I want to hear] a "
                 "[|short |little |nice ]story", rng)
    return [(f"{ask}{of_whom}.", story_about(rng, animal))]


def unknown(rng):
    """Questions outside the corpus get an honest answer instead of a guess."""
    return [(expand(rng.choice(FALLBACK_QUESTIONS), rng, {
        key: rng.choice([rng.choice(WORDS), pseudo_word(rng)]) for key in "ab"}), _FALLBACK)]


TASKS = {
    "addition": (26, addition), "subtraction": (20, subtraction),
    "multiplication": (5, multiplication), "word sums": (2, word_sums),
    "comparison": (3, comparison), "counting": (6, counting), "next number": (3, next_number),
    "repetition": (10, repetition), "colours": (4, colours), "colour mixing": (1, mixing),
    "calendar": (4, calendar), "alphabet": (2, alphabet), "opposites": (5, opposites),
    "animals": (2, animals), "lists": (2, lists), "capitals": (2, capitals), "about": (5, about),
    "names": (2, names), "unknown": (2, unknown), "stories": (2, stories),
}
# Weights of the second part of training: copying and stories take longer than sums.
LATE_WEIGHTS = {"addition": 20, "subtraction": 17, "repetition": 20, "names": 6, "counting": 9,
                "stories": 4}


def turns(rng, brief=True, late=False):
    """Returns the turns of one task drawn by weight; `brief` leaves the stories out."""
    weights = [late and LATE_WEIGHTS.get(name) or weight for name, (weight, _) in TASKS.items()]
    while True:
        name = rng.choices(list(TASKS), weights)[0]
        if not (brief and name == "stories"):
            break
    pairs = TASKS[name][1](rng)
    if name == "repetition":  # every mark of its user text is to be copied
        return pairs
    return [(vary(user, rng), reply) for user, reply in pairs]
