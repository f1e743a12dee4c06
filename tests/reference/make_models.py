#!/usr/bin/env python3
"""Makes tests/reference/models: tiny models and what transformers answers with them.

    make_models.py [name ...]       (all when no name is given; about ten minutes)

Needs torch, transformers and safetensors; the fixtures are committed, so building and
testing needs none of them. README.md describes the files.
"""

import json
import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, logging
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from families import FAMILIES
from fit import ANSWER_LENGTH, margins, widen_margins

MODELS = Path(__file__).parent / "models"
PROMPT_LENGTHS = [1, 7, 17, 48, 100, 100, 150]
ALL_LOGITS_UP_TO, LAST_LOGITS = 17, 4   # logits of every position of short prompts, else the last
FIRST_ID = 3                            # 0, 1 and 2 are padding, begin and end in many models
ANSWER_VOCABULARY = 40
# The widest allowed rounding of bf16 answers, as a share of the narrowest margin.
MAX_NOISE_SHARE = 0.5


def make_cases(rng, vocab_size):
    """Returns prompts and their answers; the two prompts of 100 ids differ in one early id."""
    prompts = [[rng.randrange(FIRST_ID, vocab_size - 1) for _ in range(length)]
               for length in PROMPT_LENGTHS]
    prompts[5] = prompts[4].copy()
    prompts[5][80] = vocab_size - 1
    tokens = rng.sample(range(FIRST_ID, vocab_size), ANSWER_VOCABULARY)
    return prompts, [[rng.choice(tokens) for _ in range(ANSWER_LENGTH)] for _ in prompts]


def randomise(model, generator):
    """Gives every parameter a size that matters: norms near 1, biases and weights not small."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            parameter.data = 1.0 + 0.2 * noise
        elif name.endswith("bias"):
            parameter.data = 0.5 * noise
        else:
            parameter.data = noise * (0.3 if "embed" in name else parameter.shape[1] ** -0.5)


def serve_with_context(model, family):
    """Fixes dynamic rope scaling to one table, the one for the longest sequence served.

    transformers changes the table while a sequence grows and keeps keys of older tables in the
    cache; a server with a shared paged cache has one table for all.
    """
    rope = model.model.rotary_emb
    if rope.rope_type == "dynamic":
        rope.inv_freq, _ = ROPE_INIT_FUNCTIONS["dynamic"](model.config, seq_len=family.context)
        rope.rope_type = "default"
    return model.eval()


def load(folder, family, dtype, **changes):
    """Loads the fixture from its files, with `changes` to its config."""
    fields = {**json.loads((folder / "config.json").read_text()), **changes}
    config = AutoConfig.for_model(**fields, attn_implementation="eager")
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype)
    return serve_with_context(model, family)


def save_weights(model, family, folder):
    """Writes the weights in the stored dtype, in one file or in shards with an index."""
    weights = {name: tensor.detach().to(getattr(torch, family.dtype)).contiguous()
               for name, tensor in model.state_dict().items()
               if not (name == "lm_head.weight" and family.config["tie_word_embeddings"])}
    if family.num_shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(weights)
    weight_map = {}
    for shard in range(family.num_shards):
        file = f"model-{shard + 1:05}-of-{family.num_shards:05}.safetensors"
        part = names[shard::family.num_shards]
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(w.nbytes for w in weights.values())},
             "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


@torch.no_grad()
def greedy(model, prompt):
    """Returns (answer ids, the logits that chose them, prompt logits); decodes with a KV cache."""
    output = model(torch.tensor([prompt]), use_cache=True)
    prompt_logits, steps, answer = output.logits[0], [], []
    while True:
        steps.append(output.logits[0, -1].float())
        answer.append(steps[-1].argmax().item())
        if len(answer) == ANSWER_LENGTH:
            return answer, torch.stack(steps), prompt_logits
        output = model(torch.tensor([answer[-1:]]), past_key_values=output.past_key_values,
                       use_cache=True)


def kept_positions(length):
    return list(range(length)) if length <= ALL_LOGITS_UP_TO else list(range(length - LAST_LOGITS, length))


def expect(folder, family, prompts):
    """Computes and checks what transformers answers; returns the fixture's two files."""
    exact, single, half = (load(folder, family, dtype)
                           for dtype in (torch.float64, torch.float32, torch.bfloat16))
    cases, tensors = [], {}
    for number, prompt in enumerate(prompts):
        answer, steps, prompt_logits = greedy(single, prompt)
        half_answer, half_steps, _ = greedy(half, prompt)
        _, exact_steps, exact_prompt_logits = greedy(exact, prompt)
        margin = margins(steps, torch.tensor(answer)).min().item()
        noise = (steps - half_steps).abs().max().item()
        error = (prompt_logits - exact_prompt_logits).abs().max().item()
        assert answer == half_answer, "f32 and bf16 answers differ"
        assert noise < MAX_NOISE_SHARE * margin, f"margin {margin} too narrow for noise {noise}"
        assert error < 5e-5, f"float32 itself is {error} from float64"
        assert len(set(answer)) >= 20, "the answer repeats itself"
        positions = kept_positions(len(prompt))
        tensors[f"logits.{number}"] = prompt_logits[positions].float().contiguous()
        cases.append({"prompt": prompt, "logit_positions": positions, "greedy_f32": answer,
                      "greedy_bf16": half_answer, "min_margin": round(margin, 4),
                      "bf16_noise": round(noise, 4), "f32_error": float(f"{error:.2g}")})
    return cases, tensors


def check_sensitivity(folder, family, cases):
    """A model without the family's own feature must answer differently, or the fixture is idle."""
    for changes in family.without:
        model = load(folder, family, torch.float32, **changes)
        changed = sum(greedy(model, case["prompt"])[0] != case["greedy_f32"] for case in cases)
        assert changed > 0, f"{changes} changes no answer"
        print(f"  with {changes}: {changed} of {len(cases)} answers change")


def make(name, family):
    """Writes one fixture folder."""
    folder = MODELS / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(family.config, indent=2) + "\n")
    rng, generator = random.Random(name), torch.Generator().manual_seed(len(name))
    prompts, answers = make_cases(rng, family.config["vocab_size"])

    config = AutoConfig.from_pretrained(folder, attn_implementation="eager")
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model, generator)
    steps = widen_margins(serve_with_context(model, family), prompts, answers)
    save_weights(model, family, folder)

    cases, tensors = expect(folder, family, prompts)
    print(f"{name}: {steps} steps, narrowest margin {min(c['min_margin'] for c in cases)}, "
          f"bf16 noise {max(c['bf16_noise'] for c in cases)}, "
          f"f32 error {max(c['f32_error'] for c in cases)}", flush=True)
    check_sensitivity(folder, family, cases)
    save_file(tensors, folder / "expected.safetensors")
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    (folder / "expected.json").write_text(
        f'{{\n  "context": {family.context},\n  "cases": [\n{lines}\n  ]\n}}\n')


def main():
    logging.disable_progress_bar()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name in sys.argv[1:] or FAMILIES:
        make(name, FAMILIES[name])


if __name__ == "__main__":
    main()
