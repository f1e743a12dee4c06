"""Writes a trained network as a Hugging Face model directory in bf16."""

import json

import torch
from safetensors.torch import save_file

from vocabulary import END_OF_TEXT, END_OF_TURN, BEGIN, save


def _config(shape, tokenizer):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": shape.hidden_size, "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_hidden_layers, "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_heads, "head_dim": shape.head_dim,
        "vocab_size": shape.vocab_size, "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_theta, "rope_scaling": None, "rms_norm_eps": 1e-5,
        "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "bos_token_id": tokenizer.token_to_id(BEGIN),
        "eos_token_id": _end_ids(tokenizer),
    }


def _end_ids(tokenizer):
    return [tokenizer.token_to_id(END_OF_TURN), tokenizer.token_to_id(END_OF_TEXT)]


def export(network, tokenizer, folder):
    """Fills `folder` with config, generation config, tokenizer, chat template and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_config(network.shape, tokenizer), indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps({
        "bos_token_id": tokenizer.token_to_id(BEGIN), "eos_token_id": _end_ids(tokenizer),
        "do_sample": False}, indent=2) + "\n")
    save(tokenizer, folder)
    weights = {name: tensor.detach().to(torch.bfloat16).contiguous()
               for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
