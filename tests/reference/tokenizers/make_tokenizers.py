"""Trains one small tokenizer per family and records what the `tokenizers` package makes of generated strings.

    pip install tokenizers numpy
    python make_generator.py && python make_tokenizers.py [family ...]

Writes <family>/tokenizer.json and <family>/expected.json next to this script. The C++ test regenerates the
strings (generated_text.py has the algorithm) and compares hashes of 100 strings each.
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer, pre_tokenizers, trainers

import generated_text
from families import FAMILIES

HERE = pathlib.Path(__file__).parent
NUM_TEXTS = 100_000
NUM_RAW_TEXTS = 10_000  # encoded with special tokens as plain text
NUM_ID_LISTS = 10_000
CHUNK = 100
NUM_EXAMPLES = 150
VOCAB_SIZE = 1400
TEXT_SEED, TRAIN_SEED, IDS_SEED = 1, 2, 3


def skeleton(family):
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
            "normalizer": family.get("normalizer"), "pre_tokenizer": family.get("pre_tokenizer"),
            "post_processor": None, "decoder": family["decoder"],
            "model": {**model, "vocab": {}, "merges": []}}


def training_texts():
    words = generated_text.SPEC["words"]
    for i in range(20_000):
        rng = generated_text.Random(TRAIN_SEED, i)
        if i % 4 == 0:
            yield generated_text.text(TRAIN_SEED, i)
        else:
            yield " ".join(words[rng.below(1 + rng.below(len(words)))] for _ in range(3 + rng.below(9)))
    # Runs of one character, as in source code, tables and bad input.
    for c in " \n\t-=_a0.\U0001f600":
        for n in (2, 4, 8, 16, 64, 512):
            yield from [c * n] * 30


def train(family):
    """The vocabulary in order of ids, and the merges."""
    tokenizer = Tokenizer.from_str(json.dumps(skeleton(family)))
    is_byte_level = "ByteLevel" in json.dumps(family["decoder"])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, show_progress=False, limit_alphabet=256 if is_byte_level else 500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if is_byte_level else [])
    tokenizer.train_from_iterator(training_texts(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), model["merges"]


def build(family):
    trained, merges = train(family)
    first, last = family.get("first", []), family.get("last", [])
    in_order = [t["content"] for t in first]
    in_order += [f"<0x{b:02X}>" for b in range(256)] if family.get("bytes") else []
    in_order += [t for t in trained if t not in in_order]
    document = skeleton(family)
    document["model"].update(family.get("model", {}))
    document["model"]["vocab"] = {t: i for i, t in enumerate(in_order)}
    document["model"]["merges"] = [" ".join(m) for m in merges] if family.get("old_merges") else merges
    ids = {**document["model"]["vocab"]}
    for t in last:
        ids.setdefault(t["content"], len(ids))
    document["added_tokens"] = sorted(({"id": ids[t["content"]], **t} for t in [*first, *last]), key=lambda t: t["id"])
    post = json.loads(json.dumps(family["post_processor"]))
    for part in post.get("processors", [post]):
        for name, entry in part.get("special_tokens", {}).items():
            entry["ids"] = [ids[name]]
    document["post_processor"] = post
    return document


def chunk_hashes(sequences):
    return [generated_text.sequence_hash(sequences[i:i + CHUNK]) for i in range(0, len(sequences), CHUNK)]


def byte_values(text):
    return list(text.encode("utf-8"))


def record(tokenizer, texts):
    """Hashes of ids and of decoded texts; even strings are encoded with, odd ones without special tokens."""
    encoded = [None] * len(texts)
    for parity in (0, 1):
        batch = tokenizer.encode_batch(texts[parity::2], add_special_tokens=parity == 0)
        encoded[parity::2] = [e.ids for e in batch]
    end_id = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    id_lists = [generated_text.random_ids(IDS_SEED, i, end_id) for i in range(NUM_ID_LISTS)]
    tokenizer.encode_special_tokens = True
    raw = [e.ids for e in tokenizer.encode_batch(texts[:NUM_RAW_TEXTS], add_special_tokens=False)]
    tokenizer.encode_special_tokens = False

    def decoded(lists, skip):
        return chunk_hashes([byte_values(t) for t in tokenizer.decode_batch(lists, skip_special_tokens=skip)])

    return {
        "chunk": CHUNK, "text_seed": TEXT_SEED, "ids_seed": IDS_SEED, "vocab_size": end_id,
        "encode": chunk_hashes(encoded), "encode_raw": chunk_hashes(raw),
        "decode": decoded(encoded, False), "decode_skip": decoded(encoded, True),
        "decode_random": decoded(id_lists, False), "decode_random_skip": decoded(id_lists, True),
        "examples": [{"text": t, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)}
                     for t, ids in zip(texts[:NUM_EXAMPLES], encoded) if len(ids) < 200],
    }


def write(path, document):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


def main(names):
    texts = [generated_text.text(TEXT_SEED, i) for i in range(NUM_TEXTS)]
    print(f"{sum(map(len, texts))} characters in {len(texts)} strings")
    for name in names or FAMILIES:
        document = build(FAMILIES[name])
        tokenizer = Tokenizer.from_str(json.dumps(document))
        write(HERE / name / "tokenizer.json", document)
        write(HERE / name / "expected.json", record(tokenizer, texts))
        print(name, tokenizer.get_vocab_size())


if __name__ == "__main__":
    main(sys.argv[1:])
