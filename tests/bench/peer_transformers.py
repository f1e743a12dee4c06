"""Hugging Face transformers on the same shape: prints output tokens per second of one static batch.

usage: peer_transformers.py MODEL_DIR REQUESTS INPUT_TOKENS NEW_TOKENS
"""
import sys
import time

import torch
import transformers


def main() -> None:
    folder, requests, input_tokens, new_tokens = sys.argv[1], *map(int, sys.argv[2:5])
    config = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = transformers.AutoModelForCausalLM.from_config(config, torch_dtype=torch.bfloat16).eval()
    prompts = torch.randint(0, config.vocab_size, (requests, input_tokens), device="cuda")
    options = dict(max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False, pad_token_id=0)
    with torch.inference_mode():
        model.generate(prompts[:2], **{**options, "max_new_tokens": 8, "min_new_tokens": 8})
        torch.cuda.synchronize()
        begin = time.perf_counter()
        model.generate(prompts, **options)
        torch.cuda.synchronize()
    print(f"{requests * new_tokens / (time.perf_counter() - begin):.1f}")


if __name__ == "__main__":
    main()
