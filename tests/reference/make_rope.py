#!/usr/bin/env python3
"""Makes tests/reference/rope.json: rotary frequencies of published configs by transformers.

Needs torch and transformers. README.md describes the file.
"""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

POSITION = 100  # of the cosines and sines

LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}
# name: (head_dim, rope_theta, max_position_embeddings, rope_scaling, context served)
CASES = {
    "llama 2": (128, 10000.0, 4096, None, 4096),
    "llama 3": (128, 500000.0, 8192, None, 8192),
    "llama 3.1": (128, 500000.0, 131072, {**LLAMA3, "factor": 8.0}, 131072),
    "llama 3.2": (64, 500000.0, 131072, {**LLAMA3, "factor": 32.0}, 131072),
    "linear": (128, 10000.0, 2048, {"type": "linear", "factor": 8.0}, 16384),
    "linear, head of 80": (80, 10000.0, 4096, {"rope_type": "linear", "factor": 2.5}, 4096),
    "dynamic, own length": (128, 10000.0, 2048, {"type": "dynamic", "factor": 2.0}, 2048),
    "dynamic, twice": (128, 10000.0, 2048, {"type": "dynamic", "factor": 2.0}, 4096),
    "dynamic, head of 96": (96, 10000.0, 64, {"rope_type": "dynamic", "factor": 4.0}, 256),
    "yarn, qwen 2.5": (128, 1000000.0, 32768, {
        "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072),
    "yarn, llama 2 128k": (128, 10000.0, 131072, {
        "type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096}, 131072),
    "yarn, own betas": (64, 150000.0, 131072, {
        "rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096,
        "beta_fast": 24.0, "beta_slow": 2.0}, 131072),
    "yarn, not truncated": (64, 150000.0, 131072, {
        "rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096,
        "truncate": False}, 131072),
    "yarn, attention factor": (128, 1000000.0, 40960, {
        "rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 40960,
        "attention_factor": 1.25}, 81920),
    "yarn, mscale": (64, 10000.0, 163840, {
        "rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096,
        "mscale": 1.0, "mscale_all_dim": 0.8}, 163840),
    "yarn, wide head": (256, 10000.0, 8192, {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}, 8192),
}


def _plain(head_dim, theta):
    return 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim), 1.0


def make(name, head_dim, theta, max_position, scaling, context):
    """Returns one entry: the config's fields, frequencies, and a row of the tables."""
    fields = {"head_dim": head_dim, "rope_theta": theta, "max_position_embeddings": max_position,
              "rope_scaling": scaling}
    if scaling is None:
        frequencies, factor = _plain(head_dim, theta)
    else:
        kind = scaling.get("rope_type") or scaling["type"]
        config = LlamaConfig(hidden_size=4 * head_dim, num_attention_heads=4,
                             **{**fields, "rope_scaling": dict(scaling)})
        frequencies, factor = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), seq_len=context)
    angles = POSITION * frequencies.double()
    return {"name": name, **fields, "context": context, "attention_factor": factor,
            "frequencies": [float(f"{value:.9g}") for value in frequencies.tolist()],
            "position": POSITION,
            "cos": [round(value, 7) for value in (factor * angles.cos()).tolist()],
            "sin": [round(value, 7) for value in (factor * angles.sin()).tolist()]}


def main():
    lines = ",\n".join("  " + json.dumps(make(name, *case)) for name, case in CASES.items())
    (Path(__file__).parent / "rope.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
