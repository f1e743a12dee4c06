"""The demo tokenizer: byte-level BPE of 2,048 tokens, trained on the corpus itself.

Every digit is a token of its own: sums are learnt digit by digit. Shared by the demo model
and its draft model.
"""

import json
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

BEGIN, END_OF_TEXT = "<|begin_of_text|>", "<|end_of_text|>"
SYSTEM, USER, ASSISTANT, END_OF_TURN = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL = [BEGIN, END_OF_TEXT, SYSTEM, USER, ASSISTANT, END_OF_TURN]
SIZE = 2048

_WORDS_AND_SINGLE_DIGITS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('The demo model knows the roles system, user and assistant only.') }}
    {%- endif %}
    {{- '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}
"""


def _training_text():
    import chat
    from facts import WORDS
    from stories import story
    rng = random.Random("vocabulary")
    for _ in range(3000):
        yield story(rng)
    for _ in range(20000):
        for user, reply in chat.turns(rng, brief=False):
            yield user
            yield reply
    for word in WORDS * 20:
        yield f"{word} {word} {word.capitalize()}"


def train_tokenizer():
    """Returns the trained `Tokenizer`; deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(_WORDS_AND_SINGLE_DIGITS), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(_training_text(), trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=SPECIAL, min_frequency=2, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B",
        special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))])
    return tokenizer


def save(tokenizer, folder):
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BEGIN, "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT, "model_max_length": 1024, "clean_up_tokenization_spaces": False,
    }, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
