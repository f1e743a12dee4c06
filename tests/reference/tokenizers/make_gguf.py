"""Records what other implementations make of generated strings with the tokenizers that only GGUF files name.

    pip install tokenizers sentencepiece numpy
    python make_gguf.py

Writes ../gguf/tokenizers.json. "kinds": the hashes for values of tokenizer.ggml.pre, with the vocabulary of gpt2/ and the
pre-tokenizer that such models publish. "sentencepiece": a vocabulary with scores, trained here, and the hashes of what the
package `sentencepiece` makes of it. Strings are encoded without special tokens, and the text of one means nothing.
"""

import io
import json

import sentencepiece
from tokenizers import Tokenizer

import generated_text
from families import GPT2_WORDS, byte_level, sequence, split
from make_tokenizers import HERE, TEXT_SEED, TRAIN_SEED

NUM_TEXTS, CHUNK = 5000, 500
TEKKEN_WORDS = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
KINDS = {
    "smollm": dict(pre_tokenizer=sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, byte_level())),
    "tekken": dict(pre_tokenizer=sequence("pretokenizers", split(TEKKEN_WORDS), byte_level(use_regex=False)),
                   ignore_merges=True),
    "default": dict(pre_tokenizer=sequence(
        "pretokenizers", split(r"[\p{P}\$\+<=>\^~\|]+"), split(GPT2_WORDS), split(r"\p{N}+"), split("[0-9][0-9][0-9]"),
        byte_level(use_regex=False))),
}


def hashes(sequences):
    return [generated_text.sequence_hash(sequences[i:i + CHUNK]) for i in range(0, len(sequences), CHUNK)]


def of_kind(kind, texts):
    document = json.loads((HERE / "gpt2" / "tokenizer.json").read_text(encoding="utf-8"))
    document["pre_tokenizer"] = kind["pre_tokenizer"]
    document["model"]["ignore_merges"] = kind.get("ignore_merges", False)
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.encode_special_tokens = True
    return hashes([tokenizer.encode(t, add_special_tokens=False).ids for t in texts])


def training_words():
    """Lines of words, so that a small vocabulary has room for their characters."""
    words = generated_text.SPEC["words"]
    for i in range(20_000):
        rng = generated_text.Random(TRAIN_SEED, i)
        yield " ".join(words[rng.below(1 + rng.below(len(words)))] for _ in range(3 + rng.below(9)))


def token_type(model, i):
    return 6 if model.is_byte(i) else 3 if model.is_control(i) else 2 if model.is_unknown(i) else 1


def sentence_piece(texts):
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=training_words(), model_writer=file, model_type="bpe", vocab_size=1000, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2)
    model = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
    size = model.vocab_size()
    return {"tokens": [model.id_to_piece(i) for i in range(size)], "scores": [model.get_score(i) for i in range(size)],
            "types": [token_type(model, i) for i in range(size)], "hashes": hashes([model.encode(t) for t in texts]),
            "decoded": hashes([list(model.decode(model.encode(t)).encode("utf-8")) for t in texts])}


def main():
    texts = [generated_text.text(TEXT_SEED, i) for i in range(NUM_TEXTS)]
    document = {"chunk": CHUNK, "text_seed": TEXT_SEED,
                "kinds": {name: of_kind(kind, texts) for name, kind in KINDS.items()},
                "sentencepiece": sentence_piece(texts)}
    path = HERE.parent / "gguf" / "tokenizers.json"
    path.write_text(json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
