"""The tiny models of the Hugging Face comparison: one published-style config per family.

Configs are written the way checkpoints publish them (rope_theta and rope_scaling side by
side, torch_dtype). Original contexts are short so that prompts of a hundred tokens pass them,
and heads are chosen so that tensor parallelism 2 and 4 split or replicate the KV heads.
"""

from dataclasses import dataclass, field

LLAMA3_SCALING = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 64}


@dataclass
class Family:
    """A fixture: its config, how it is stored, and the context it is served with."""
    config: dict
    context: int = 256             # tokens; dynamic rope scaling depends on it
    dtype: str = "bfloat16"
    num_shards: int = 1
    without: list = field(default_factory=list)  # config changes that must change the answers


def _config(architecture, heads, kv_heads, head_dim, **changes):
    model_type = architecture.removesuffix("ForCausalLM").lower()
    config = {
        "architectures": [architecture], "model_type": model_type, "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": 320,
        "max_position_embeddings": 256, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
        "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "bos_token_id": 1, "eos_token_id": 2,
    }
    return {**config, **changes}


def _llama(heads, kv_heads, head_dim, **changes):
    return _config("LlamaForCausalLM", heads, kv_heads, head_dim, attention_bias=False,
                   mlp_bias=False, **changes)




FAMILIES = {
    # Multi-head attention, untied, f16 as Llama 2 was published; 4 heads for TP 1, 2 and 4.
    "llama2": Family(_llama(4, 4, 64, torch_dtype="float16", rope_scaling=None), dtype="float16"),
    # Grouped queries; an odd vocabulary, which no tensor parallelism divides.
    "llama3_1": Family(
        _llama(4, 2, 64, vocab_size=321, rope_theta=500000.0,
               rope_scaling={**LLAMA3_SCALING, "factor": 8.0}),
        without=[{"rope_scaling": None}]),
    # Tied embeddings, twice as many query heads as KV heads, two shards with an index.
    "llama3_2": Family(
        _llama(8, 4, 64, hidden_size=32, rope_theta=500000.0, tie_word_embeddings=True,
               rope_scaling={**LLAMA3_SCALING, "factor": 32.0}),
        num_shards=2, without=[{"rope_scaling": None}]),
    # The old "type" key of rope_scaling; stored in f32.
    "llama_linear": Family(
        _llama(4, 2, 80, hidden_size=32, torch_dtype="float32",
               rope_scaling={"type": "linear", "factor": 4.0}),
        dtype="float32", without=[{"rope_scaling": None}]),
    # Served at four times the context the model was made for.
    "llama_dynamic": Family(
        _llama(4, 2, 96, hidden_size=32, max_position_embeddings=64,
               rope_scaling={"type": "dynamic", "factor": 4.0}),
        without=[{"rope_scaling": None}]),
    "llama_yarn": Family(
        _llama(4, 2, 128, hidden_size=32,
               rope_scaling={"rope_type": "yarn", "factor": 4.0,
                             "original_max_position_embeddings": 64}),
        without=[{"rope_scaling": None}]),
    # The largest head and a single KV head, which every tensor parallelism replicates.
    "llama_wide_head": Family(_llama(4, 1, 256, hidden_size=32, rope_scaling=None)),
    # A window shorter than most prompts.
    "mistral": Family(_config("MistralForCausalLM", 4, 4, 64, sliding_window=32),
                      without=[{"sliding_window": None}]),
    # Biases on q, k and v; tied; a window that is stated and not used, as published.
    "qwen2": Family(_config("Qwen2ForCausalLM", 4, 2, 64, tie_word_embeddings=True,
                            rope_theta=1000000.0, rms_norm_eps=1e-6, use_sliding_window=False,
                            sliding_window=32, max_window_layers=2),
                    without=[{"use_sliding_window": True, "max_window_layers": 0}]),
    # Norms on q and k; heads wider than hidden_size / num_attention_heads.
    "qwen3": Family(_config("Qwen3ForCausalLM", 4, 2, 128, hidden_size=32, rope_theta=1000000.0,
                            rms_norm_eps=1e-6, attention_bias=False, use_sliding_window=False,
                            sliding_window=None, max_window_layers=2)),
}
