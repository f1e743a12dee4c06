"""A Llama network for training: RMS norm, rotary positions, SwiGLU, tied embeddings.

Parameter names equal those of Hugging Face `LlamaForCausalLM`, so the export is the state
dict itself. Training runs matrix products in bf16 by autocast, the rest in float32.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass
class Shape:
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_heads: int = 4          # query heads and KV heads: tensor parallelism 1, 2 and 4 divide them
    head_dim: int = 64
    vocab_size: int = 2048
    context: int = 1024
    rope_theta: float = 10000.0


TARGET = Shape(hidden_size=256, intermediate_size=704, num_hidden_layers=5)
DRAFT = Shape(hidden_size=64, intermediate_size=192, num_hidden_layers=2)


def rope_tables(shape):
    """Returns cos and sin, each [context, head_dim], for the rotate-half convention."""
    exponents = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angles = torch.outer(torch.arange(shape.context, dtype=torch.float32),
                         shape.rope_theta ** -exponents)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def _rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def _attend(q, k, v):
    """Causal attention, [num_rows, num_heads, length, head_dim].

    For short rows the plain products are faster on the CPU than the fused kernel's backward.
    """
    length = q.shape[2]
    if length > 256:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(dim=-1).to(v.dtype) @ v


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        width = shape.num_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, width, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, width, bias=False)
        self.o_proj = nn.Linear(width, shape.hidden_size, bias=False)

    def forward(self, x, cos, sin):  # x: [num_rows, length, hidden_size]
        heads = (*x.shape[:2], self.shape.num_heads, self.shape.head_dim)
        q, k, v = (project(x).view(heads).transpose(1, 2)
                   for project in (self.q_proj, self.k_proj, self.v_proj))
        cos, sin = cos.to(q.dtype), sin.to(q.dtype)
        out = _attend(_rotate(q, cos, sin), _rotate(k, cos, sin), v)
        return self.o_proj(out.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, eps=1e-5)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, eps=1e-5)
        self.mlp = Mlp(shape)

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.model = nn.ModuleDict({
            "embed_tokens": nn.Embedding(shape.vocab_size, shape.hidden_size),
            "layers": nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers)),
            "norm": nn.RMSNorm(shape.hidden_size, eps=1e-5)})
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                narrow = name.endswith(("o_proj.weight", "down_proj.weight"))
                depth = (2 * shape.num_hidden_layers) ** 0.5 if narrow else 1.0
                nn.init.normal_(parameter, std=0.03 / depth)
        cos, sin = rope_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids):  # ids: [num_rows, length] -> hidden states [num_rows, length, hidden]
        length = ids.shape[1]
        x = self.model["embed_tokens"](ids)
        for layer in self.model["layers"]:
            x = layer(x, self.cos[:length], self.sin[:length])
        return self.model["norm"](x)

    def loss(self, ids, learnt):
        """Mean cross-entropy of the next token where `learnt` [num_rows, length + 1] says so."""
        hidden = self(ids[:, :-1])[learnt[:, 1:]]
        logits = F.linear(hidden, self.model["embed_tokens"].weight)
        return F.cross_entropy(logits.float(), ids[:, 1:][learnt[:, 1:]])
