#!/usr/bin/env python3
"""Puts known bugs back into the coordinator, one at a time, and shows that the simulation finds each.

Every mutant is a list of exact replacements. Its files are compiled anew, linked with the simulation's other objects
and run until a CHECK fails. Prints a table with the seconds to find; fails when one is not found, or when its text
is no longer in the source exactly once.

    mutants.py --build build/release [--jobs 2] [--cap SECONDS] [--only WORD]... [--every N]
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

from mutant_table import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[3]


def mutated(path, replacements):
    text = (ROOT / path).read_text()
    for old, new in replacements:
        if text.count(old) != 1:
            raise ValueError(f"{path}: {text.count(old)} times in the source, not once: {old!r}")
        text = text.replace(old, new)
    return text


class Build:
    """The commands of the release build, turned into commands for one mutant."""

    def __init__(self, directory):
        self.directory = directory
        entries = json.loads((directory / "compile_commands.json").read_text())
        self.compile_commands = {
            os.path.relpath(entry["file"], ROOT): shlex.split(entry["command"])
            for entry in entries
            if entry["file"].startswith(str(ROOT / "coordinator"))
        }
        commands = subprocess.run(["ninja", "-C", directory, "-t", "commands", "sim_test"],
                                  check=True, capture_output=True, text=True).stdout.splitlines()
        link = next(line for line in reversed(commands) if " -o tests/sim_test " in line)
        self.link_command = [word for word in shlex.split(link) if word not in (":", "&&")]

    def compile(self, path, text, folder):
        source = folder / pathlib.Path(path).name
        source.write_text(text)
        command = []
        for word in self.compile_commands[path]:
            if not re.fullmatch(r"-O.|-Werror|-D_FORTIFY_SOURCE=.|.*/ccache|-g.*", word):
                command.append(str(source) if word == str(ROOT / path) else word)
        command[command.index("-o") + 1] = str(source.with_suffix(".o"))
        subprocess.run(command + ["-O1", "-w"], cwd=self.directory, check=True, capture_output=True, text=True)
        return str(source.with_suffix(".o"))

    def link(self, objects, folder):
        command = list(self.link_command)
        output = command.index("-o") + 1
        command[output] = str(folder / "sim")
        subprocess.run(command[:output - 1] + objects + command[output - 1:], cwd=self.directory, check=True,
                       capture_output=True, text=True)
        return str(folder / "sim")


def hunt(build, edits, cap):
    """Seconds to find and the CHECK that found it, or no seconds and how it got away."""
    by_file = {}
    for path, old, new in edits:
        by_file.setdefault(path, []).append((old, new))
    with tempfile.TemporaryDirectory(prefix="caudal-mutant-") as scratch:
        folder = pathlib.Path(scratch)
        try:
            objects = [build.compile(path, mutated(path, pairs), folder) for path, pairs in by_file.items()]
            program = build.link(objects, folder)
        except subprocess.CalledProcessError as error:
            return None, f"MISSED: does not build\n{error.stderr[-2000:]}"
        start = time.monotonic()
        try:
            # A corrupt state may also loop or eat memory; both count once the limits end it.
            done = subprocess.run(["prlimit", "--as=4000000000", "--core=0", program], capture_output=True, text=True,
                                  timeout=cap)
        except subprocess.TimeoutExpired:
            return None, f"MISSED in {cap} s"
        if done.returncode == 0:
            return None, "MISSED by all seeds"
        found = re.search(r"CHECK\(.*|what\(\):.*|terminate called.*|.*_S_.*|.*Assertion.*", done.stderr)
        reason = found.group(0) if found else f"exit {done.returncode}"
        return time.monotonic() - start, reason.split("failed: ")[-1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--cap", type=float, default=300, help="seconds for one mutant")
    parser.add_argument("--only", action="append", help="mutants whose description has this word")
    parser.add_argument("--every", type=int, default=1, help="take every N-th mutant")
    arguments = parser.parse_args()
    for _, edits in MUTANTS:  # all of them, also those that do not run now
        for path, old, new in edits:
            mutated(path, [(old, new)])
    chosen = [m for m in MUTANTS if not arguments.only or any(word in m[0] for word in arguments.only)]
    chosen = chosen[::arguments.every]
    build = Build(arguments.build.resolve())
    missed = []
    print(f"{'bug put back':62} {'seconds':>8}  found by")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        hunts = [(name, pool.submit(hunt, build, edits, arguments.cap)) for name, edits in chosen]
        for name, future in hunts:
            seconds, reason = future.result()
            if seconds is None:
                missed.append(name)
            print(f"{name:62} {'' if seconds is None else f'{seconds:.2f}':>8}  {reason}", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
