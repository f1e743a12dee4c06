#!/usr/bin/env python3
"""Makes tests/reference/beams.json: what transformers' beam search finds with tiny models of `models/`.

    make_beams.py

Needs torch and transformers; the fixture is committed. README.md describes it.
"""

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, logging

ROOT = Path(__file__).parent
MODELS = ["llama3_2", "qwen3"]
PROMPTS = [1, 2]          # of expected.json: 7 and 17 ids
NEW_TOKENS = 12
WAYS = [                  # beams, returned, length penalty, early stopping
    (2, 2, 1.0, False), (3, 1, 1.0, True), (4, 4, 0.0, False), (4, 2, 2.0, "never"),
    (5, 5, 0.6, True), (5, 3, -0.5, False), (6, 6, 1.0, "never"),
]


def search(model, prompt, stops, way):
    beams, returned, penalty, early = way
    ids = torch.tensor([prompt])
    found = model.generate(
        ids, attention_mask=torch.ones_like(ids), num_beams=beams, num_return_sequences=returned,
        length_penalty=penalty, early_stopping=early, max_new_tokens=NEW_TOKENS, do_sample=False,
        eos_token_id=stops or None, pad_token_id=0, return_dict_in_generate=True, output_scores=True)
    answers = []
    for row, score in zip(found.sequences[:, len(prompt):].tolist(), found.sequences_scores.tolist()):
        end = next((i + 1 for i, token in enumerate(row) if token in stops), len(row))
        answers.append({"tokens": row[:end], "score": score})
    return answers


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    cases = []
    for name in MODELS:
        model = AutoModelForCausalLM.from_pretrained(ROOT / "models" / name, torch_dtype=torch.float32,
                                                     attn_implementation="eager").eval()
        model.generation_config.eos_token_id = None
        prompts = json.loads((ROOT / "models" / name / "expected.json").read_text())["cases"]
        for index in PROMPTS:
            prompt = prompts[index]["prompt"]
            wide = search(model, prompt, [], (6, 6, 1.0, False))
            said = [answer["tokens"] for answer in wide]
            # One that the best beam says late, one that only another says.
            late = said[0][NEW_TOKENS // 2]
            other = next(t for tokens in said[1:] for t in tokens[2:] if t not in said[0])
            for way in WAYS:
                for stops in ([], [late], [late, other]):
                    answers = search(model, prompt, stops, way)
                    cases.append({"model": name, "prompt": prompt, "stops": stops, "beams": way[0],
                                  "length_penalty": way[2], "early_stopping": way[3], "answers": answers})
    (ROOT / "beams.json").write_text(json.dumps({"max_tokens": NEW_TOKENS, "cases": cases}, separators=(",", ":")) + "\n")
    print(len(cases), "cases", sum(len(a["tokens"]) < NEW_TOKENS for c in cases for a in c["answers"]), "stopped early")


if __name__ == "__main__":
    main()
