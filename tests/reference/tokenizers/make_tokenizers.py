"""Trains one small tokenizer per family and records what the `tokenizers` package makes of generated strings.

    pip install tokenizers numpy sentencepiece protobuf
    python make_generator.py && python make_tokenizers.py [family ...]

Writes <family>/tokenizer.json and <family>/expected.json next to this script. The C++ test regenerates the
strings (generated_text.py has the algorithm) and compares hashes of 100 or 1000 strings each.
"""

import base64
import io
import json
import pathlib
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, pre_tokenizers, trainers

import generated_text
from families import FAMILIES, LARGE

HERE = pathlib.Path(__file__).parent
NUM_TEXTS = 100_000
NUM_RAW_TEXTS = 10_000  # encoded with special tokens as plain text
NUM_ID_LISTS = 10_000
NUM_EXAMPLES = 150
VOCAB_SIZE = 1400
TEXT_SEED, TRAIN_SEED, IDS_SEED = 1, 2, 3


MODELS = {
    "BPE": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {}, "merges": []},
    "WordPiece": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {}},
    "WordLevel": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {}},
    "Unigram": {"type": "Unigram", "unk_id": None, "byte_fallback": False, "vocab": []},
}
# What SentencePiece makes a map of characters of.
CHARACTER_RULES = [("\u2460", "1"), ("\ufb01", "fi"), ("\u3000", " "), ("\t", " "), ("\u200b", ""), ("\u00bd", "1/2"),
                   ("\u0065\u0301", "\u00e9"), ("\u212b", "\u00c5"), ("\uff21", "A"), ("\uff22", "B"), ("\u0130", "I"),
                   ("\u1100\u1161", "\uac00"), ("\n", " "), ("\u1e9b", "s"), ("\U0001f1e9", "D"), ("\u0f73", "\u0f71\u0f72")]


def charsmap():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as rules:
        for source, target in CHARACTER_RULES:
            rules.write(" ".join(f"{ord(c):X}" for c in source) + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n")
        rules.flush()
        file = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(generated_text.SPEC["words"]), model_writer=file, vocab_size=200, hard_vocab_limit=False,
            normalization_rule_tsv=rules.name, minloglevel=2)
    model = sentencepiece_model_pb2.ModelProto.FromString(file.getvalue())
    return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode("ascii")


def skeleton(family):
    model = {**MODELS[family.get("kind", "BPE")], **family.get("model", {})}
    normalizer = json.loads(json.dumps(family.get("normalizer")))
    if family.get("charsmap"):
        normalizer["normalizers"][0]["precompiled_charsmap"] = charsmap()
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
            "normalizer": normalizer, "pre_tokenizer": family.get("pre_tokenizer"),
            "post_processor": None, "decoder": family["decoder"],
            "model": model}


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


def trainer_of(family):
    kind = family.get("kind", "BPE")
    common = {"vocab_size": VOCAB_SIZE, "show_progress": False, "special_tokens": [t["content"] for t in family.get("first", [])]}
    if kind == "WordLevel":
        return trainers.WordLevelTrainer(**common)
    if kind == "Unigram":
        return trainers.UnigramTrainer(**common, unk_token="<unk>")
    is_byte_level = "ByteLevel" in json.dumps([family["decoder"]])
    limits = {"limit_alphabet": 256 if is_byte_level else 500,
              "initial_alphabet": pre_tokenizers.ByteLevel.alphabet() if is_byte_level else []}
    if kind == "WordPiece":
        return trainers.WordPieceTrainer(**common, **limits)
    del common["special_tokens"]
    affixes = {key: value for key, value in family.get("model", {}).items()
               if key in ("continuing_subword_prefix", "end_of_word_suffix")}
    return trainers.BpeTrainer(**common, **limits, **affixes)


def train(document, family):
    """The trained model."""
    untrained = json.loads(json.dumps(document))
    if family.get("kind") == "Unigram":
        untrained["model"] = {**MODELS["Unigram"], "unk_id": 0, "vocab": [["<unk>", 0.0]]}
    tokenizer = Tokenizer.from_str(json.dumps(untrained))
    texts = training_texts()
    if family.get("kind") == "Unigram":  # which keeps every character that it sees
        letters = set("".join(generated_text.SPEC["words"]) + " .,")
        texts = (t for t in texts if letters.issuperset(t))
    tokenizer.train_from_iterator(texts, trainer_of(family))
    return json.loads(tokenizer.to_str())["model"]


def scored_vocabulary(first, trained):
    """Special and byte tokens first; what text with them would score does not matter as long as it is low."""
    scores = dict(map(tuple, trained["vocab"]))
    lowest = min(scores.values())
    rest = [[t, s] for t, s in trained["vocab"] if t not in first]
    return [[t, 0.0 if t in scores else lowest] for t in first] + rest


def build(family):
    document = skeleton(family)
    trained = train(document, family)
    first, last = family.get("first", []), family.get("last", [])
    in_order = [t["content"] for t in first]
    in_order += [f"<0x{b:02X}>" for b in range(256)] if family.get("bytes") else []
    if family.get("kind") == "Unigram":
        document["model"]["vocab"] = scored_vocabulary(in_order, trained)
        ids = {t: i for i, (t, _) in enumerate(document["model"]["vocab"])}
    else:
        known = set(in_order)
        in_order += [t for t in sorted(trained["vocab"], key=trained["vocab"].get) if t not in known]
        document["model"]["vocab"] = {t: i for i, t in enumerate(in_order)}
        ids = {**document["model"]["vocab"]}
    if "merges" in trained:
        merges = trained["merges"]
        document["model"]["merges"] = [" ".join(m) for m in merges] if family.get("old_merges") else merges
    for t in last:
        ids.setdefault(t["content"], len(ids))
    document["added_tokens"] = sorted(({"id": ids[t["content"]], **t} for t in [*first, *last]), key=lambda t: t["id"])
    post = json.loads(json.dumps(family["post_processor"]))
    for part in post.get("processors", [post]) if post else []:
        for name, entry in part.get("special_tokens", {}).items():
            entry["ids"] = [ids[name]]
        for key in ("sep", "cls"):
            if key in part:
                part[key][1] = ids[part[key][0]]
    document["post_processor"] = post
    return document


def hashes(sequences, chunk):
    return [generated_text.sequence_hash(sequences[i:i + chunk]) for i in range(0, len(sequences), chunk)]


def byte_values(text):
    return list(text.encode("utf-8"))


def record(tokenizer, texts, chunk):
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
        return hashes([byte_values(t) for t in tokenizer.decode_batch(lists, skip_special_tokens=skip)], chunk)

    return {
        "chunk": chunk, "text_seed": TEXT_SEED, "ids_seed": IDS_SEED, "vocab_size": end_id,
        "encode": hashes(encoded, chunk), "encode_raw": hashes(raw, chunk),
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
        write(HERE / name / "expected.json", record(tokenizer, texts, 100 if name in LARGE else 1000))
        print(name, tokenizer.get_vocab_size())


if __name__ == "__main__":
    main(sys.argv[1:])
