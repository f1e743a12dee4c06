#!/usr/bin/env python3
"""Speed of PyTorch's attention on the shapes of cuda_bench_attention: flash and cuDNN back ends of
scaled_dot_product_attention on KV that has already been gathered from its pages. Prints a table; skips what the
machine's own torch does not have.

The batches, head counts and rates (bytes of K and V; FLOPs that the causal mask leaves) are the same, so lines compare
one to one. Run both in the same minute on the same GPU.
"""

import statistics
import sys

HEADS, KV_HEADS = 32, 8


def median_seconds(torch, work):
    for _ in range(2):
        work()
    seconds = []
    for _ in range(11):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(5):
            work()
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3 / 5)
    return statistics.median(seconds)


def attention(torch, backend, batch, queries, context, head_dim):
    """Median seconds of one call, or the reason why this back end cannot."""
    def random(heads, tokens):
        return torch.randn(batch, heads, tokens, head_dim, dtype=torch.bfloat16, device="cuda")

    q, k, v = random(HEADS, queries), random(KV_HEADS, context), random(KV_HEADS, context)
    if queries == 1:  # the group's heads as rows, the best packing this interface allows
        q = q.view(batch, KV_HEADS, HEADS // KV_HEADS, head_dim)
    causal = queries > 1

    def work():
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=causal)

    try:
        with torch.nn.attention.sdpa_kernel(backend):
            return median_seconds(torch, work)
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]


def report(name, seconds, amount, unit):
    if isinstance(seconds, str):
        print(f"{name:44} not available: {seconds[:60]}")
    else:
        print(f"{name:44} {seconds * 1e6:10.1f} us {amount / seconds:8.1f} {unit}")


def main():
    try:
        import torch
    except ImportError:
        sys.exit("this machine's python3 has no torch: no peer to compare with")
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU: nothing measured")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}")
    backends = torch.nn.attention.SDPBackend
    for label, backend in (("flash", backends.FLASH_ATTENTION), ("cudnn", backends.CUDNN_ATTENTION)):
        for context in (1024, 4096, 8192):
            seconds = attention(torch, backend, 64, 1, context, 128)
            report(f"{label} decode 64 x {context}", seconds, 64 * context * 2 * KV_HEADS * 128 * 2 / 1e9, "GB/s")
        for head_dim in (64, 128):
            for tokens in (2048, 4096, 8192, 16384):
                seconds = attention(torch, backend, 1, tokens, tokens, head_dim)
                flops = 4 * HEADS * head_dim * tokens * (tokens + 1) / 2
                report(f"{label} prefill d{head_dim} {tokens}", seconds, flops / 1e12, "TFLOP/s")


if __name__ == "__main__":
    main()
