#!/usr/bin/env python3
"""Records what the demonstration model answers to seeded requests, and compares a later build with the record.

    answers.py record FILE [--requests 1000] [--max-isa ISA]      writes one digest per request
    answers.py compare FILE [--every N]                           exit 1 when an answer differs

On CPUs an answer depends on its request alone, so a change that is not meant to change numbers must keep every digest.
A record holds for one instruction set, which it names: the workers are capped to it. The requests run 16 at a time on two ranks, with speculation, so
batches differ from run to run; the answers must not. CAUDAL_BIN names the folder of the binaries.
"""
import argparse
import concurrent.futures
import hashlib
import json
import pathlib
import random
import sys

from cluster import DEMO, Cluster

DRAFT = DEMO.parent / "draft"
PROMPTS = ["What is {a} plus {b}?", "Once upon a time", "Count from {c} to {d}.", "What is the opposite of hot?",
           "Tell me a story about a cat and a dog.", "Hello!", "What day comes after Monday?", "What is {a} minus {b}?"]


# The names that caudal-worker --max-isa takes, widest first, and the flag by which Linux says that a CPU has it.
CPU_FLAGS = {"amx": "amx_bf16", "avx512": "avx512bw", "avx2": "avx2"}


def instruction_sets():
    """Those of this processor, widest first."""
    flags = set(pathlib.Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    return [name for name, flag in CPU_FLAGS.items() if flag in flags]


def make_request(index):
    """Path and body of request number `index`; the same on every machine."""
    r = random.Random(f"caudal answers {index}")
    text = r.choice(PROMPTS).format(a=r.randint(0, 49), b=r.randint(0, 49), c=r.randint(1, 5), d=r.randint(6, 12))
    text = " ".join([text] * r.choice([1, 1, 1, 2, 8]))
    body = {"max_tokens": r.choice([1, 8, 24, 48]), "seed": index}
    kind = r.randrange(8)
    if kind < 3:
        body["temperature"] = 0
    elif kind < 6:
        body.update(temperature=r.choice([0.5, 0.8, 1.0, 1.3]), top_p=r.choice([1.0, 0.9]), top_k=r.choice([-1, 20]),
                    min_p=r.choice([0.0, 0.05]))
    elif kind == 6:
        body.update(temperature=0.9, repetition_penalty=1.2, presence_penalty=0.5, frequency_penalty=0.3,
                    logit_bias={"10": -5, "20": 2.5}, bad_words=[" the"], min_tokens=1)
    else:
        body.update(use_beam_search=True, beam_width=4, n=2, length_penalty=1.1)
    if kind < 7:
        body.update(n=r.choice([1, 1, 3]), stop=r.choice([None, ["."], ["cat", "\n"]]))
        body["speculative"] = r.choice(["off", "ngram", "draft", "auto"])
    if r.random() < 0.5:
        if r.random() < 0.4:
            body["logprobs"] = 3
        return "/v1/completions", {"prompt": text, **body}
    if r.random() < 0.4:
        body.update(logprobs=True, top_logprobs=3)
    return "/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **body}


def without_sampled(logprobs):
    """The alternatives of a completion, which come with the sampled token or without it, as the API has them."""
    if logprobs and logprobs.get("top_logprobs"):
        for token, entry in zip(logprobs["tokens"], logprobs["top_logprobs"]):
            entry.pop(token, None)


def digest(cluster, index):
    path, body = make_request(index)
    status, answer = cluster.post(path, body)
    told = answer["choices"] if status == 200 else answer  # ids, times and cache hits are not the model's
    for choice in told if status == 200 else []:
        without_sampled(choice.get("logprobs"))
        if choice.get("prompt_logprobs") is None:  # nobody asked
            choice.pop("prompt_logprobs", None)
    canonical = json.dumps([status, told], sort_keys=True, ensure_ascii=True).encode()
    return hashlib.sha256(canonical).hexdigest()[:12]


def digests(indices, isa):
    worker_args = ["--threads=1", f"--max-isa={isa}"]
    with Cluster(tensor_parallel=2, args=["--draft-model", str(DRAFT)], worker_args=worker_args) as cluster:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda index: digest(cluster, index), indices))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["record", "compare"])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--max-isa", choices=CPU_FLAGS, help="when recording; default: the widest")
    arguments = parser.parse_args()
    if arguments.action == "record":
        isa = arguments.max_isa or instruction_sets()[0]
        record = {"instruction_set": isa, "digests": digests(range(arguments.requests), isa)}
        arguments.file.write_text(json.dumps(record, indent=0) + "\n")
        return 0
    record = json.loads(arguments.file.read_text())
    isa = record["instruction_set"]
    if isa not in instruction_sets():
        print(f"skipped: recorded with {isa}, this processor has {instruction_sets()}")
        return 0
    indices = range(0, len(record["digests"]), arguments.every)
    differing = [i for i, now in zip(indices, digests(indices, isa)) if now != record["digests"][i]]
    for index in differing[:5]:
        print("differs:", json.dumps(make_request(index)))
    print(f"{len(indices) - len(differing)} of {len(indices)} answers as recorded")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
