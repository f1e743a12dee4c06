"""Training rows: token ids and a loss mask, made on the fly from (seed, step).

A row is one conversation that fills its length turn by turn, or stories one after the other;
it always starts at a document start, so positions and attention at serving time look the same.
The loss covers what the model has to say: stories and the assistant's side of a chat.
"""

import random

import chat
from stories import story
from vocabulary import ASSISTANT, BEGIN, END_OF_TEXT, END_OF_TURN, SYSTEM, USER

_SYSTEM_TEXTS = ["You are a helpful assistant.", "You are a friendly assistant.",
                 "Answer briefly.", "Be kind and brief."]
# (row length, rows per batch, probability, probability that a row is made of stories)
_EARLY_SHAPES = [(64, 64, 0.80, 0.0), (256, 16, 0.15, 0.5), (1024, 4, 0.05, 0.35)]
_LATE_SHAPES = [(64, 64, 0.66, 0.0), (256, 16, 0.26, 0.6), (1024, 4, 0.08, 0.35)]
_LATE_FROM_STEP = 1200


def render(turns, system=None):
    """Returns [(text, has_loss)] of a conversation, the same text as chat_template.jinja."""
    pieces = [(f"{SYSTEM}{system}{END_OF_TURN}", False)] if system else []
    for user, reply in turns:
        pieces.append((f"{USER}{user}{END_OF_TURN}{ASSISTANT}", False))
        pieces.append((f"{reply}{END_OF_TURN}", True))
    return pieces


def _row_pieces(rng, length, is_story, late):
    """Yields the pieces of one endless row; the caller cuts it."""
    brief = length < 256
    while is_story:
        yield BEGIN, False
        yield story(rng) + END_OF_TEXT, True
    yield BEGIN, False
    system = rng.choice(_SYSTEM_TEXTS) if rng.random() < 0.15 else None
    yield from render(chat.turns(rng, brief, late), system)
    while True:
        yield from render(chat.turns(rng, brief, late))


def _row(tokenizer, length, pieces):
    """Returns (ids, mask) of `length` + 1 tokens; mask[i] says that token i is to be learnt."""
    ids, mask = [], []
    for text, has_loss in pieces:
        piece = tokenizer.encode(text, add_special_tokens=False).ids
        ids += piece
        mask += [has_loss] * len(piece)
        if len(ids) > length:
            return ids[:length + 1], mask[:length + 1]


def batch(tokenizer, seed, step):
    """Returns (rows of ids, rows of masks) of training step `step`; depends on nothing else."""
    rng = random.Random(f"{seed}/{step}")
    late = step >= _LATE_FROM_STEP
    shapes = _LATE_SHAPES if late else _EARLY_SHAPES
    length, num_rows, _, story_share = rng.choices(shapes, [shape[2] for shape in shapes])[0]
    rows = [_row(tokenizer, length, _row_pieces(rng, length, rng.random() < story_share, late))
            for _ in range(num_rows)]
    return [ids for ids, _ in rows], [mask for _, mask in rows]
