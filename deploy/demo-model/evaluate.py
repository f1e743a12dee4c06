#!/usr/bin/env python3
"""Measures an exported demo model: greedy accuracy per chat task, and the sample prompts.

    evaluate.py FOLDER [--per-task 200]

Runs the stored bf16 weights with transformers. Prompts are drawn with a seed that training
never uses; closed tasks (sums, days) can still repeat a training question, open ones (repetition,
names, unknown) practically do not. Exits 1 when a sample of samples.json is answered wrongly.
"""

import argparse
import json
import random
import re
import sys
from collections import defaultdict
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import chat

HERE = Path(__file__).parent
MAX_NEW_TOKENS = 300
BATCH = 32


class Model:
    """An exported folder that answers many prompts at once, without padding."""

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()

    def _complete(self, prompts):
        """Answers prompts of one length; returns token ids without the end token."""
        output = self.network.generate(torch.tensor(prompts), max_new_tokens=MAX_NEW_TOKENS,
                                       do_sample=False, pad_token_id=0)
        ends = set(self.network.generation_config.eos_token_id)
        for row in output[:, len(prompts[0]):].tolist():
            end = next((i for i, token in enumerate(row) if token in ends), len(row))
            yield row[:end], end < len(row)

    def answer(self, prompts):
        """Returns (text, ended by itself) for each prompt text, in order."""
        ids = [self.tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
        by_length = defaultdict(list)
        for index, prompt in enumerate(ids):
            by_length[len(prompt)].append(index)
        answers = [None] * len(prompts)
        for indices in by_length.values():
            for start in range(0, len(indices), BATCH):
                part = indices[start:start + BATCH]
                for index, (row, ended) in zip(part, self._complete([ids[i] for i in part])):
                    answers[index] = self.tokenizer.decode(row), ended
        return answers

    def chat_prompt(self, messages):
        return self.tokenizer.apply_chat_template(messages, tokenize=False,
                                                  add_generation_prompt=True)


def as_messages(turns):
    """Returns the chat messages of turns, without the last reply."""
    return [{"role": role, "content": text} for pair in turns
            for role, text in zip(("user", "assistant"), pair)][:-1]


def is_right(task, expected, text, ended):
    """A story is right when it is one and ends; everything else must be equal."""
    if task == "stories":
        return ended and text.endswith("The end.")
    return ended and text == expected


def measure(model, per_task):
    """Yields (task, share of right answers, a wrong one or "")."""
    for task, (_, make) in chat.TASKS.items():
        rng = random.Random(f"evaluation/{task}")
        samples = [make(rng) for _ in range(per_task)]
        if task != "repetition":
            samples = [[(chat.vary(user, rng), reply) for user, reply in turns] for turns in samples]
        answers = model.answer([model.chat_prompt(as_messages(turns)) for turns in samples])
        wrong = [f"{turns[-1][0]!r} -> {text!r}" for turns, (text, ended) in zip(samples, answers)
                 if not is_right(task, turns[-1][1], text, ended)]
        yield task, 1 - len(wrong) / per_task, wrong[0] if wrong else ""


def check_samples(model, samples):
    """Returns the descriptions of wrongly answered samples."""
    prompts = [model.chat_prompt(sample["messages"]) if "messages" in sample
               else model.tokenizer.bos_token + sample["prompt"] for sample in samples]
    wrong = []
    for sample, prompt, (text, ended) in zip(samples, prompts, model.answer(prompts)):
        right = text == sample["text"] if "text" in sample else re.fullmatch(sample["regex"], text)
        if not (right and ended):
            wrong.append(f"{prompt!r} -> {text!r}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-task", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = Model(arguments.folder)
    print("| task | right | a wrong answer |\n|---|---:|---|")
    for task, share, wrong in measure(model, arguments.per_task):
        print(f"| {task} | {100 * share:.1f} % | {wrong} |", flush=True)
    samples = json.loads((HERE / "samples.json").read_text())
    wrong = check_samples(model, samples)
    print(f"samples: {len(samples) - len(wrong)} of {len(samples)} right", *wrong, sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
