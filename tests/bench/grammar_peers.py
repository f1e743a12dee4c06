#!/usr/bin/env python3
"""Grammars of JSON schemas beside xgrammar and llguidance: the same schemas, instances and vocabulary, one after another in one
run, CPU time of one thread. Prints a table.

    grammar_peers.py --check build/release/bin/grammar_check --tokenizer TOKENIZER.json --schemas DIRECTORY [--every 10]

Needs the packages tokenizers, numpy, xgrammar and llguidance; one that is not there is left out. A file of DIRECTORY is
{"schema": ..., "tests": [{"data": ..., "valid": ...}]}.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import numpy


class Tally:
    def __init__(self):
        self.compile_us, self.mask_us = [], []
        self.accepted = self.refused = self.passed = self.stopped = 0

    def row(self, name):
        def of(values, quantile):
            return numpy.percentile(values, quantile) if values else float("nan")

        mean = numpy.mean(self.mask_us) if self.mask_us else float("nan")
        return (f"{name:12} {self.accepted:6} {self.passed:6} of {self.passed + self.stopped:<6} {mean:9.1f} {of(self.mask_us, 50):9.1f} "
                f"{of(self.mask_us, 99):9.1f} {of(self.compile_us, 50) / 1000:12.2f}")


class XGrammar:
    def __init__(self, tokenizer_file, vocabulary):
        import xgrammar
        self.x = xgrammar
        self.info = xgrammar.TokenizerInfo(vocabulary, xgrammar.VocabType.BYTE_LEVEL, stop_token_ids=[len(vocabulary) - 1])
        self.mask = xgrammar.allocate_token_bitmask(1, len(vocabulary))

    def compile(self, schema):
        compiler = self.x.GrammarCompiler(self.info, max_threads=1, cache_enabled=False)
        return compiler.compile_json_schema(json.dumps(schema), strict_mode=False)

    def start(self, grammar):
        return self.x.GrammarMatcher(grammar)

    def fill(self, matcher):
        matcher.fill_next_token_bitmask(self.mask)

    def accept(self, matcher, token):
        return matcher.accept_token(token)

    def is_complete(self, matcher):
        return matcher.is_completed() if hasattr(matcher, "is_completed") else True


class LlGuidance:
    def __init__(self, tokenizer_file, vocabulary):
        import llguidance
        import llguidance.numpy
        self.l = llguidance
        self.tokenizer = llguidance.LLTokenizer(str(tokenizer_file))
        self.mask = llguidance.numpy.allocate_token_bitmask(1, self.tokenizer.vocab_size)

    def compile(self, schema):
        matcher = self.l.LLMatcher(self.tokenizer, self.l.LLMatcher.grammar_from_json_schema(json.dumps(schema)))
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def start(self, grammar):
        return grammar.deep_copy()

    def fill(self, matcher):
        self.l.numpy.fill_next_token_bitmask(matcher, self.mask)

    def accept(self, matcher, token):
        return matcher.consume_token(token)

    def is_complete(self, matcher):
        return matcher.is_accepting()


def follow(engine, grammar, tokens, tally):
    matcher = engine.start(grammar)
    for token in tokens:
        begin = time.thread_time_ns()
        engine.fill(matcher)
        tally.mask_us.append((time.thread_time_ns() - begin) / 1000)
        if not engine.accept(matcher, token):
            return False
    return engine.is_complete(matcher)


def measure(engine, cases, tokenizer):
    tally = Tally()
    for case in cases:
        begin = time.thread_time_ns()
        try:
            grammar = engine.compile(case["schema"])
        except Exception:  # each package has errors of its own
            tally.refused += 1
            continue
        tally.compile_us.append((time.thread_time_ns() - begin) / 1000)
        tally.accepted += 1
        for test in case["tests"]:
            if test["valid"]:
                text = json.dumps(test["data"], ensure_ascii=False, separators=(", ", ": "))
                if follow(engine, grammar, tokenizer.encode(text, add_special_tokens=False).ids, tally):
                    tally.passed += 1
                else:
                    tally.stopped += 1
    return tally


def own(program, tokenizer_file, files):
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            (pathlib.Path(folder) / file.name).write_bytes(file.read_bytes())
        found = json.loads(subprocess.run([program, "--tokenizer", tokenizer_file, "--schemas", folder, "--json"],
                                          check=True, capture_output=True, text=True).stdout)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--schemas", required=True, type=pathlib.Path)
    parser.add_argument("--every", type=int, default=10, help="take each Nth schema")
    options = parser.parse_args()
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(options.tokenizer)
    vocabulary = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
    files = sorted(options.schemas.glob("*.json"))[::options.every]
    cases = [json.loads(file.read_bytes()) for file in files]
    print(f"{len(files)} schemas, {len(vocabulary)} tokens; CPU time in us, of compiling in ms")
    print(f"{'':12} {'taken':>6} {'valid passed':>16} {'mask mean':>9} {'p50':>9} {'p99':>9} {'compile p50':>12}")
    print("Caudal      ", json.dumps(own(options.check, options.tokenizer, files)))
    for name, engine in (("xgrammar", XGrammar), ("llguidance", LlGuidance)):
        try:
            made = engine(options.tokenizer, vocabulary)
        except ImportError as missing:
            print(f"{name:12} left out: {missing}")
            continue
        print(measure(made, cases, tokenizer).row(name), flush=True)


if __name__ == "__main__":
    main()
