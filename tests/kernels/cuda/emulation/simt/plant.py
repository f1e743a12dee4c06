#!/usr/bin/env python3
"""Copies kernel sources with bugs in them that tests switch on one at a time.

    plant.py OUTPUT_FOLDER    reads plants.py, writes OUTPUT_FOLDER/kernels/cuda/*

A plant is an exact replacement, whose new text asks planted(KernelBug::kName). A text that is not in its source exactly
once is an error: the table follows the kernels.
"""
import pathlib
import re
import sys

from plants import PLANTS

ROOT = pathlib.Path(__file__).resolve().parents[5]
HEADER = '#include "tests/kernels/cuda/emulation/simt/kernel_bugs.h"\n'


def plant(path, replacements):
    text = (ROOT / path).read_text()
    for old, new in replacements:
        if text.count(old) != 1:
            sys.exit(f"{path}: {text.count(old)} times in the source, not once: {old!r}")
        text = text.replace(old, new)
    return HEADER + only_64_bf16(text)


def only_64_bf16(text):
    """One instance of each kernel: bugs do not depend on head size and type, and the copies compile fast."""
    text = re.sub(r"    case (?:80|96|128):\n.*;\n", "", text)
    text = re.sub(r"    default:\n      return launch.*;\n", "    default:\n      CHECK(false);\n", text)
    return text.replace("launch_head_dim<__half>", "launch_head_dim<__nv_bfloat16>")


def main():
    output = pathlib.Path(sys.argv[1])
    for path, replacements in PLANTS.items():
        target = output / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(plant(path, replacements))


main()
