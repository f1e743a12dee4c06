"""Measures Caudal and llama.cpp's server in alternating turns; see cpu_peers.sh, which calls it.

Every figure is taken over HTTP with prompts of random token ids that no cache has seen, and every answer has exactly as
many tokens as were asked for. A turn is one workload on one server while the other one is idle.
"""
import argparse
import dataclasses
import datetime
import http.client
import json
import os
import pathlib
import platform
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

import bars
import gguf_files

HERE = pathlib.Path(__file__).resolve().parent
TOKENS = range(1000, 40000)  # ordinary words of the vocabulary
CONTEXT_TOKENS = 16384  # of KV cache, for either server


@dataclasses.dataclass
class Workload:
    name: str
    streams: int
    prompt_tokens: int
    new_tokens: int

    def measure(self, port: int) -> float:
        """Tokens per second: of decoding with one stream, of the prompt where one token is asked for, else of answers."""
        answers = [None] * self.streams
        prompts = [random.sample(TOKENS, self.prompt_tokens) for _ in answers]

        def ask(i: int) -> None:
            answers[i] = token_times(port, prompts[i], self.new_tokens)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(self.streams)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for times in answers:
            if times is None:
                raise SystemExit(f"{self.name}: a request failed")
        if self.new_tokens == 1:
            return self.prompt_tokens / (answers[0][0] - begin)
        if self.streams == 1:
            times = answers[0]
            return (self.new_tokens - 1) / (times[-1] - times[0])
        return self.streams * self.new_tokens / (max(times[-1] for times in answers) - begin)


def workloads(quick: bool) -> list[Workload]:
    every = [
        Workload("decode, 1 stream", 1, 32, 96),
        Workload("prefill of 512", 1, 512, 1),
        Workload("prefill of 2,048", 1, 2048, 1),
        Workload("8 streams, 256 in / 128 out", 8, 256, 128),
        Workload("32 streams, 128 in / 64 out", 32, 128, 64),
    ]
    return [every[0], every[1], Workload("8 streams, 128 in / 64 out", 8, 128, 64)] if quick else every


def token_times(port: int, prompt: list[int], new_tokens: int) -> list[float]:
    """When the first and the last piece of the answer came. Raises where the answer has another length."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    body = {"prompt": prompt, "max_tokens": new_tokens, "temperature": 0, "ignore_eos": True, "stream": True,
            "stream_options": {"include_usage": True}, "cache_prompt": False}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(response.read().decode(errors="replace"))
    times, usage = [], None
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        usage = event.get("usage") or usage
        if event.get("choices"):
            times.append(time.perf_counter())
    if usage is None or usage["completion_tokens"] != new_tokens:
        raise RuntimeError(f"{new_tokens} tokens were asked for, usage says {usage}")
    return times


def raise_priority() -> None:
    """Of both servers alike, where this user may: a server whose threads wait for each other in a loop suffers most from
    other programs."""
    try:
        os.nice(-15)
    except OSError:
        pass


class Server:
    def __init__(self, name: str, command: list[str], port: int, log: pathlib.Path):
        self.name, self.port = name, port
        begin = time.perf_counter()
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True,
                                            preexec_fn=raise_priority)
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"{name} ended at its start; see {log}")
            try:
                token_times(port, [1000, 1001, 1002], 1)
                break
            except (OSError, RuntimeError, http.client.HTTPException):
                time.sleep(0.02)
        self.first_token_s = time.perf_counter() - begin

    def _processes(self) -> set[int]:
        """The server and all that it started."""
        parents = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit():
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass  # it has ended
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def peak_mib(self) -> float:
        total = 0
        for pid in self._processes():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1])
        return total / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def caudal(model: pathlib.Path, port: int, options: argparse.Namespace) -> list[str]:
    command = [options.bin / "caudal-coordinator", "--model", model, "--port", port, "--control", "tcp://127.0.0.1:0",
               "--zmq", "", "--replicas", 1, "--log-level", "warning", f"--worker-arg=--threads={options.threads}",
               f"--worker-arg=--num-blocks={CONTEXT_TOKENS // 16}"]
    if options.max_isa:
        command.append(f"--worker-arg=--max-isa={options.max_isa}")
    return [str(part) for part in command]


def llama(model: pathlib.Path, port: int, options: argparse.Namespace) -> list[str]:
    return [sys.executable, str(HERE / "llama_server.py"), str(model), str(port), str(options.threads), str(CONTEXT_TOKENS)]


def instruction_set() -> str:
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    return next((name for name, flag in [("AMX", "amx_tile"), ("AVX-512", "avx512f"), ("AVX2", "avx2")] if flag in flags),
                platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--formats", default="bf16,q8_0,q4_0,q4_k_m", help="of f32, bf16, q8_0, q4_0, q4_1, q4_k_m")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--max-isa", help="the worker's; the peer takes what the machine has")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 3)
    if options.quick:
        options.formats = ",".join(options.formats.split(",")[:2])

    rows = []
    for format_name in options.formats.split(","):
        model = gguf_files.prepare(format_name, options.output)
        servers = []
        try:
            for i, (name, command) in enumerate([("Caudal", caudal), ("llama.cpp", llama)]):
                port = 8810 + i
                servers.append(Server(name, command(model, port, options), port, options.output / f"{name}-{format_name}.log"))
            rows += measure(format_name, servers, workloads(options.quick), rounds)
        finally:
            for server in servers:
                server.stop()
    report(rows, options, rounds)


def measure(format_name: str, servers: list[Server], todo: list[Workload], rounds: int) -> list[dict]:
    figures: dict[str, dict[str, list[float]]] = {w.name: {s.name: [] for s in servers} for w in todo}
    for turn in range(rounds):
        for workload in todo:
            for server in servers if turn % 2 == 0 else servers[::-1]:
                figures[workload.name][server.name].append(workload.measure(server.port))
                print(f"{format_name}: {workload.name}: {server.name} {figures[workload.name][server.name][-1]:.1f} tok/s",
                      file=sys.stderr, flush=True)
    rows = [{"format": format_name, "what": what, "unit": "tok/s",
             **{name: statistics.median(values) for name, values in by_server.items()}} for what, by_server in figures.items()]
    rows.append({"format": format_name, "what": "start to first token", "unit": "s",
                 **{s.name: s.first_token_s for s in servers}})
    rows.append({"format": format_name, "what": "peak memory", "unit": "MiB", **{s.name: s.peak_mib() for s in servers}})
    return rows


def report(rows: list[dict], options: argparse.Namespace, rounds: int) -> None:
    isa = options.max_isa or instruction_set()
    title = (f"SmolLM2-135M-Instruct, {options.threads} threads, {isa}, {datetime.date.today()}, medians of {rounds} "
             f"{'round' if rounds == 1 else 'rounds'}")
    lines = [f"### {title}", "| format | what | Caudal | llama.cpp | ratio |", "|---|---|---|---|---|"]
    for row in rows:
        ours, theirs = row["Caudal"], row["llama.cpp"]
        better = ours / theirs if row["unit"] == "tok/s" else theirs / ours
        row["ratio"] = better
        lines.append(f"| {row['format']} | {row['what']} | {ours:,.1f} {row['unit']} | {theirs:,.1f} {row['unit']} | {better:.2f}x |")
    print("\n".join(lines))
    print("A ratio above 1 means that Caudal is faster, sooner or smaller.")
    (options.output / "cpu_peers.json").write_text(json.dumps({"title": title, "rows": rows}, indent=1))
    (options.output / "cpu_peers.svg").write_text(bars.draw(title, rows))
    print(f"JSON and a picture: {options.output}")


if __name__ == "__main__":
    main()
