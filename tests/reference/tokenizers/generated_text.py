"""Deterministic test strings and hashes, the same in tests/common/tokenizer/generated_text.cpp.

Strings come from splitmix64, so that only hashes of the expected results need to be committed.
"""

import json
import pathlib

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
END = 0xFFFFFFFF  # ends a sequence inside a hash
SPEC = json.loads((pathlib.Path(__file__).parent / "generator.json").read_text(encoding="utf-8"))


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class Random:
    def __init__(self, seed, stream):
        self.state = mix((seed + stream * GOLDEN) & MASK)

    def below(self, n):
        self.state = (self.state + GOLDEN) & MASK
        return mix(self.state) % n


def any_character(rng):
    """Any plane, assigned or not; no surrogates."""
    c = (rng.below(17) << 16) + rng.below(0x10000)
    return 0xFFFD if 0xD800 <= c < 0xE000 else c


def character(rng):
    ranges = SPEC["ranges"]
    low, high = ranges[rng.below(len(ranges))]
    return low + rng.below(high - low + 1)


def segment(rng):
    kind = rng.below(10)
    if kind < 3:
        words = SPEC["words"]
        return (" " if rng.below(4) else "") + words[rng.below(len(words))]
    if kind < 5:
        snippets = SPEC["snippets"]
        return snippets[rng.below(len(snippets))]
    if kind == 5:  # one script
        low, high = SPEC["ranges"][rng.below(len(SPEC["ranges"]))]
        return "".join(chr(low + rng.below(high - low + 1)) for _ in range(1 + rng.below(8)))
    if kind == 6:  # mixed scripts
        return "".join(chr(character(rng)) for _ in range(1 + rng.below(6)))
    if kind == 7:
        return "".join(chr(any_character(rng)) for _ in range(1 + rng.below(4)))
    if kind == 8:  # a run of one character
        c = character(rng) if rng.below(2) else 32 + rng.below(95)
        return chr(c) * (1 + rng.below(600 if rng.below(40) == 0 else 12))
    spaces = SPEC["spaces"]
    return "".join(chr(spaces[rng.below(len(spaces))]) for _ in range(1 + rng.below(5)))


def text(seed, index):
    rng = Random(seed, index)
    return "".join(segment(rng) for _ in range(rng.below(12)))


def random_ids(seed, index, end_id):
    """Token ids, a few of them past the vocabulary."""
    rng = Random(seed, index)
    return [rng.below(end_id + 2) for _ in range(rng.below(24))]


def sequence_hash(sequences):
    """Order-sensitive hash of sequences of integers below 2^32."""
    values = np.concatenate([np.append(np.asarray(s, dtype=np.uint64), np.uint64(END)) for s in sequences])
    with np.errstate(over="ignore"):
        z = values + np.arange(len(values), dtype=np.uint64) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        return f"{int(z.sum(dtype=np.uint64)):016x}"
