"""The tokenizer.json of each family without its vocabulary: components and expressions as published."""

GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K_WORDS = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def byte_level(prefix=False, use_regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def split(expression, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: expression}, "behavior": behavior, "invert": invert}


def sequence(key, *components):
    return {"type": "Sequence", key: list(components)}


def template(before=(), after=()):
    special = [{"SpecialToken": {"id": name, "type_id": 0}} for name, _ in before]
    special_after = [{"SpecialToken": {"id": name, "type_id": 0}} for name, _ in after]
    return {"type": "TemplateProcessing",
            "single": special + [{"Sequence": {"id": "A", "type_id": 0}}] + special_after,
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in (*before, *after)}}


def replace(old, new):
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


def metaspace(scheme, split_words=True):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split_words}


def token(content, special=True, normalized=False, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": normalized,
            "special": special, **flags}


SENTENCEPIECE_DECODER = sequence("decoders", replace("\u2581", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                                 {"type": "Strip", "content": " ", "start": 1, "stop": 0})
SENTENCEPIECE_NORMALIZER = sequence("normalizers", {"type": "Prepend", "prepend": "\u2581"}, replace(" ", "\u2581"))
SENTENCEPIECE_SPECIAL = ["<unk>", "<s>", "</s>"]
LLAMA3_SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]

BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BLOOM_WORDS = r" ?[^(\s|[.,!?…。，、।۔،])]+"
KIMI_WORDS = "|".join([
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}+", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def ends(kind, cls, sep, **flags):
    """BertProcessing or RobertaProcessing; the ids are filled in later."""
    return {"type": kind, "sep": [sep, 0], "cls": [cls, 0], **flags}


# Keys besides the components: `first` tokens take the first ids, `bytes` adds <0x00>..<0xFF> behind them,
# `last` tokens follow the trained vocabulary; `old_merges` writes merges as strings; `kind` is the model, BPE unless said
# otherwise; `charsmap` trains one that stands in the normalizer as a Precompiled without its map.
FAMILIES = {
    "gpt2": dict(
        pre_tokenizer=byte_level(), decoder=byte_level(), post_processor=byte_level(), old_merges=True,
        last=[token("<|endoftext|>", normalized=True)]),
    "llama3": dict(
        pre_tokenizer=sequence("pretokenizers", split(LLAMA3_WORDS), byte_level(use_regex=False)),
        decoder=byte_level(),
        post_processor=sequence("processors", byte_level(), template(before=[("<|begin_of_text|>", "last")])),
        model=dict(ignore_merges=True), last=[token(t) for t in LLAMA3_SPECIAL]),
    "qwen2": dict(
        normalizer={"type": "NFC"},
        pre_tokenizer=sequence("pretokenizers", split(QWEN2_WORDS), byte_level(use_regex=False)),
        decoder=byte_level(), post_processor=byte_level(),
        last=[token("<|endoftext|>"), token("<|im_start|>"), token("<|im_end|>"), token("<tool_call>", special=False),
              token("</tool_call>", special=False)]),
    "llama2": dict(
        normalizer=SENTENCEPIECE_NORMALIZER, decoder=SENTENCEPIECE_DECODER,
        post_processor=template(before=[("<s>", 1)]), bytes=True, old_merges=True,
        model=dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        first=[token(t) for t in SENTENCEPIECE_SPECIAL], last=[token("<pad>", special=False)]),
    "mistral": dict(
        pre_tokenizer=metaspace("first", split_words=False), decoder=SENTENCEPIECE_DECODER,
        post_processor=template(before=[("<s>", 1)]), bytes=True,
        model=dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        first=[token(t) for t in [*SENTENCEPIECE_SPECIAL, "[INST]", "[/INST]"]]),
    # Components and flags that the families above do not use, with characters that are not in the vocabulary.
    "metaspace": dict(
        normalizer=sequence("normalizers", {"type": "NFKC"}, replace("''", "\"")),
        pre_tokenizer=metaspace("always"), decoder=metaspace("always"),
        post_processor=template(before=[("<s>", 1)], after=[("</s>", 2)]),
        model=dict(unk_token="<unk>", fuse_unk=False),
        first=[token(t) for t in SENTENCEPIECE_SPECIAL],
        last=[token("<mask>", lstrip=True, rstrip=True), token("word", special=False, single_word=True),
              token("Caf\u00e9", special=False, normalized=True, single_word=True), token("<pad>", lstrip=True),
              token("New York", special=False, normalized=True, rstrip=True)]),
    "o200k": dict(
        normalizer={"type": "NFD"},
        pre_tokenizer=sequence("pretokenizers", split(O200K_WORDS, "Removed", invert=True),
                               byte_level(use_regex=False)),
        decoder=byte_level(), post_processor=template(after=[("<|endoftext|>", "last")]),
        last=[token("<|endoftext|>")]),
    "splits": dict(
        normalizer={"type": "NFKD"},
        pre_tokenizer=sequence(
            "pretokenizers", {"type": "Digits", "individual_digits": False}, split("'", "MergedWithPrevious", kind="String"),
            split(r"[\p{P}\p{S}]", "Contiguous"), split(r"\w+|[^\w\s]+", "MergedWithNext"),
            {"type": "WhitespaceSplit"}, byte_level(prefix=True)),
        decoder=byte_level(), post_processor=byte_level(), last=[token("<|endoftext|>")]),
    # The other models, and components that no family above has.
    "bert": dict(
        kind="WordPiece", normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                                      "strip_accents": None, "lowercase": True},
        pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
        post_processor=ends("BertProcessing", "[CLS]", "[SEP]"),
        model=dict(unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100),
        first=[token(t) for t in BERT_SPECIAL]),
    "unigram": dict(
        kind="Unigram", charsmap=True,
        normalizer=sequence("normalizers", {"type": "Precompiled"}, {"type": "Strip", "strip_left": False, "strip_right": True},
                            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}),
        pre_tokenizer=metaspace("always"), decoder=metaspace("always"), post_processor=template(after=[("</s>", 1)]),
        model=dict(unk_id=2), first=[token(t) for t in ["<pad>", "</s>", "<unk>"]]),
    "unigram_bytes": dict(
        kind="Unigram", normalizer=sequence("normalizers", {"type": "Nmt"}, {"type": "NFKC"}),
        pre_tokenizer=sequence("pretokenizers", {"type": "UnicodeScripts"}, metaspace("always")),
        decoder=SENTENCEPIECE_DECODER, post_processor=template(before=[("<s>", 1)]), bytes=True,
        model=dict(unk_id=0, byte_fallback=True), first=[token(t) for t in SENTENCEPIECE_SPECIAL]),
    "words": dict(
        kind="WordLevel",
        normalizer=sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
                            {"type": "Strip", "strip_left": True, "strip_right": True}),
        pre_tokenizer={"type": "Whitespace"}, decoder=None,
        post_processor=ends("RobertaProcessing", "<s>", "</s>", trim_offsets=True, add_prefix_space=False),
        model=dict(unk_token="<unk>"), first=[token(t) for t in SENTENCEPIECE_SPECIAL]),
    "falcon": dict(
        pre_tokenizer=sequence("pretokenizers", {"type": "Punctuation", "behavior": "Contiguous"}, byte_level(),
                               {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")),
        decoder=byte_level(), post_processor=byte_level(), last=[token("<|endoftext|>")]),
    "gpt1": dict(
        normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": False,
                    "lowercase": False},
        pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "BPEDecoder", "suffix": "</w>"}, post_processor=None,
        model=dict(unk_token="<unk>", end_of_word_suffix="</w>"), first=[token("<unk>")]),
    "prefixed": dict(
        normalizer={"type": "Lowercase"}, pre_tokenizer=sequence("pretokenizers", {"type": "Whitespace"}, {"type": "Punctuation"}),
        decoder={"type": "WordPiece", "prefix": "##", "cleanup": False}, post_processor=None,
        model=dict(unk_token="<unk>", fuse_unk=True, continuing_subword_prefix="##"), first=[token("<unk>")]),
    "bloom": dict(
        normalizer={"type": "ByteLevel"}, pre_tokenizer={"type": "CharDelimiterSplit", "delimiter": "\u0120"},
        decoder=byte_level(), post_processor=None, last=[token("<|endoftext|>")]),
    "classes": dict(
        pre_tokenizer=sequence("pretokenizers", split(KIMI_WORDS), split(BLOOM_WORDS), byte_level(use_regex=False)),
        decoder=byte_level(), post_processor=None, last=[token("<|endoftext|>")]),
}
LARGE = ["gpt2", "llama3", "qwen2", "llama2", "mistral", "metaspace", "o200k", "splits"]  # hashes of 100 strings, others of 1000
