"""Writes the demonstration model as a GGUF file, as llama.cpp's converter would."""
import json
import re
import struct

MODEL_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
LAYER_NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
               "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
               "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(v):
    """Type and bytes; integers as u32, lists by their first element."""
    if isinstance(v, bool):
        return 7, struct.pack("<?", v)
    if isinstance(v, int):
        return 4, struct.pack("<I", v)
    if isinstance(v, float):
        return 6, struct.pack("<f", v)
    if isinstance(v, str):
        return 8, text(v)
    items = [value(item) for item in v]
    return 9, struct.pack("<IQ", items[0][0], len(v)) + b"".join(data for _, data in items)


def image(metadata, tensors):
    """metadata {key: value}; tensors {name: (shape with the rows first, type, bytes)}."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, v in metadata.items():
        kind, data = value(v)
        out += text(key) + struct.pack("<I", kind) + data
    data = b""
    for name, (shape, kind, content) in tensors.items():
        data += b"\0" * (-len(data) % 32)
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, len(data))
        data += content
    return out + b"\0" * (-len(out) % 32) + data


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    layer = re.match(r"model\.layers\.(\d+)\.(.*)", stem)
    return f"blk.{layer[1]}.{LAYER_NAMES[layer[2]]}.{kind}" if layer else f"{MODEL_NAMES[stem]}.{kind}"


def interleave(data, rows, dim):
    """Of each head the halves' rows in turns."""
    size = len(data) // rows
    row = [data[i * size:(i + 1) * size] for i in range(rows)]
    return b"".join(row[head + i // 2 + i % 2 * (dim // 2)] for head in range(0, rows, dim) for i in range(dim))


def tensors_of(folder, head_dim):
    raw = (folder / "model.safetensors").read_bytes()
    size, = struct.unpack("<Q", raw[:8])
    tensors = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        data, shape, kind = raw[8 + size + begin:8 + size + end], entry["shape"], 30
        if len(shape) == 1:  # bf16 to f32
            data, kind = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2)), 0
        if re.search(r"\.[qk]_proj\.", name):
            data = interleave(data, shape[0], head_dim)
        tensors[gguf_name(name)] = (shape, kind, data)
    return tensors


def metadata_of(folder):
    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    special = {t["id"] for t in tokenizer["added_tokens"]}
    vocab = tokenizer["model"]["vocab"]
    return {
        "general.architecture": "llama", "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"], "llama.block_count": config["num_hidden_layers"],
        "llama.attention.head_count": config["num_attention_heads"],
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.attention.layer_norm_rms_epsilon": config["rms_norm_eps"], "llama.rope.freq_base": config["rope_theta"],
        "llama.context_length": config["max_position_embeddings"], "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": sorted(vocab, key=vocab.get),
        "tokenizer.ggml.token_type": [3 if i in special else 1 for i in range(len(vocab))],
        "tokenizer.ggml.merges": [" ".join(m) for m in tokenizer["model"]["merges"]],
        "tokenizer.ggml.bos_token_id": config["bos_token_id"], "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.eos_token_id": config["eos_token_id"][0], "tokenizer.ggml.eot_token_id": config["eos_token_id"][1],
        "general.sampling.temp": 0.0, "tokenizer.chat_template": (folder / "chat_template.jinja").read_text(),
    }


def convert(folder):
    config = json.loads((folder / "config.json").read_text())
    return image(metadata_of(folder), tensors_of(folder, config["head_dim"]))
