"""What cannot work is refused at start: a message that names file or flag, exit code not 0, nothing left."""
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import unittest

from cluster import BIN, Cluster, DEMO, free_port


class Start(unittest.TestCase):
    def model_copy(self, change):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for file in DEMO.iterdir():
            shutil.copy(file, folder)
        change(folder)
        return folder

    def refused(self, *words, **cluster):
        with Cluster(wait=False, **cluster) as c:
            self.assertNotIn(c.process.wait(60), (0, None))
            for word in words:
                self.assertIn(word, c.output())

    def edit_config(self, **changes):
        def change(folder):
            config = json.loads((folder / "config.json").read_text())
            for key, value in changes.items():
                config.pop(key) if value is None else config.update({key: value})
            (folder / "config.json").write_text(json.dumps(config))
        return self.model_copy(change)

    def test_truncated_weights(self):
        def cut(folder):
            file = folder / "model.safetensors"
            file.write_bytes(file.read_bytes()[:-1000])
        self.refused("model.safetensors", model=self.model_copy(cut))

    def test_coordinator_and_worker_agree_on_a_stretched_context(self):
        model = self.edit_config(rope_scaling={"rope_type": "yarn", "factor": 4.0,
                                               "original_max_position_embeddings": 1024})
        def served(cluster):
            return json.loads(cluster.get("/v1/models")[1])["data"][0]["max_model_len"]
        with Cluster(model=model) as c:
            self.assertIn("4096 context tokens", c.output())
            self.assertEqual(served(c), 4096)
            self.assertEqual(c.complete([5] * 3000, max_tokens=2)["usage"]["prompt_tokens"], 3000)
        with Cluster(model=model, replicas=0, wait=False) as c:  # before any worker has said what it serves
            while c.process.poll() is None and "HTTP on" not in c.output():
                time.sleep(0.05)
            self.assertEqual(served(c), 4096)

    def test_the_plan_before_anything_is_loaded_is_what_is_taken(self):
        options = ["--num-blocks", "100", "--swap-bytes", "1MiB"]
        for ranks in 1, 2:
            with self.subTest(ranks=ranks):
                report = self.plan("--tensor-parallel", str(ranks), *options)
                plan, context, *in_bytes = report.splitlines()
                with Cluster(tensor_parallel=ranks,
                             worker_args=[f"{name}={value}" for name, value in zip(options[::2], options[1::2])]) as c:
                    self.assertIn(plan, c.output())
                    self.assertIn("1024 context tokens", c.output())
                self.assertEqual(context, "A context may be 1024 tokens long, and 1 of that length fit at a time.")
                self.assertEqual(len(in_bytes), 1 if ranks == 1 else 3)
                self.assertTrue(in_bytes[0].startswith("Rank 0: "))
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        job = subprocess.run(["mpirun", *root, "--oversubscribe", "--bind-to", "none", "-np", "2", BIN / "caudal-worker",
                              "--model", DEMO, "--plan", "--tensor-parallel", "2", *options],
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(job.stdout, report)

    def plan(self, *options, code=0):
        done = subprocess.run([BIN / "caudal-worker", "--model", DEMO, "--plan", *options], capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_the_plan_of_machines_that_are_not_here(self):
        """With the bytes that the flags say, whatever this machine has."""
        gpus = self.plan("--device", "cuda", "--gpu-memory", "80GiB", "--tensor-parallel", "4", "--swap-bytes", "1GiB",
                         "--host-memory", "64GiB")
        self.assertIn("LlamaForCausalLM as bf16 in cuda: a GPU like an H100 of 4", gpus)
        self.assertEqual(gpus.count("Rank "), 4)
        rank = re.search(r"Rank 3: (\d+) bytes of weights, (\d+) of workspace, (\d+) of KV cache, (\d+) together", gpus)
        weights, workspace, kv, together = map(int, rank.groups())
        self.assertEqual(together, weights + workspace + kv)
        self.assertIn("All ranks: %d bytes of weights" % (4 * weights), gpus)
        self.assertIn("the model does not fit", self.plan("--device", "cuda", "--gpu-memory", "10MB", code=1))
        hosts = [self.plan("--host-memory", memory, "--max-num-sequences", "2048") for memory in ("2GiB", "2GiB", "3GB")]
        self.assertEqual(hosts[0], hosts[1])
        self.assertNotEqual(hosts[0], hosts[2])
        self.assertIn("is for --device cuda", self.plan("--gpu-memory", "80GiB", code=1))
        done = subprocess.run([BIN / "caudal-worker", "--model", DEMO, "--host-memory", "2GiB"], capture_output=True,
                              text=True, timeout=60)
        self.assertIn("--host-memory requires --plan", done.stderr)

    def job(self, *ranks, code=1):
        """What mpirun says of ranks that cannot start, each given by its arguments, and how long it takes."""
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        command = ["mpirun", *root, "--quiet", "--oversubscribe", "--bind-to", "none"]
        for arguments in ranks:
            command += ["-np", "1", str(BIN / "caudal-worker"), "--coordinator", f"tcp://127.0.0.1:{free_port()}",
                        "--tensor-parallel", "2", *arguments, ":"]
        started = time.monotonic()
        done = subprocess.run(command[:-1], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code)
        self.assertLess(time.monotonic() - started, 30)
        return [line for line in (done.stdout + done.stderr).splitlines() if " I worker" not in line]

    def test_all_ranks_refuse_once(self):
        bad = ["--model", str(self.edit_config(architectures=["GrokForCausalLM"]))]
        for ranks, words in ([[bad] * 4, "LlamaForCausalLM"], [[["--bogus"]] * 2, "--"],
                             [[["--model", str(DEMO)]] * 3, "does not divide the 3 ranks"]):
            with self.subTest(words):
                said = self.job(*ranks)
                self.assertEqual(len(said), 1, said)
                self.assertIn("E worker 0: ", said[0])
                self.assertIn(words, said[0])

    def test_all_ranks_miss_the_coordinator_once(self):
        said = self.job(*[["--model", str(DEMO), "--join-timeout-s", "1"]] * 2, code=10)
        self.assertEqual(len(said), 1, said)
        self.assertIn("E worker 0: the coordinator did not answer in 1000 ms", said[0])

    def test_a_rank_that_fails_alone_says_so(self):
        bad = ["--model", str(self.edit_config(architectures=["GrokForCausalLM"]))]
        said = self.job(["--model", str(DEMO)], bad)
        self.assertEqual(len(said), 1, said)
        self.assertIn("E worker 1: ", said[0])

    def test_ranks_that_refuse_different_things_all_speak(self):
        bad = ["--model", str(self.edit_config(architectures=["GrokForCausalLM"]))]
        said = self.job(bad, ["--model", str(self.edit_config(num_attention_heads=None))])
        self.assertEqual(len(said), 2, said)
        self.assertRegex(said[1], r"E worker 0: worker 1 says: .*num_attention_heads")

    def test_header_past_the_end(self):
        def spoil(folder):
            file = folder / "model.safetensors"
            file.write_bytes(struct.pack("<Q", 1 << 40) + file.read_bytes()[8:])
        self.refused("model.safetensors", model=self.model_copy(spoil))

    def test_index_names_a_missing_file(self):
        def spoil(folder):
            (folder / "model.safetensors").unlink()
            (folder / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}}))
        self.refused("model-00001-of-00002.safetensors", model=self.model_copy(spoil))

    def test_config_without_a_field(self):
        self.refused("config.json", "num_attention_heads", model=self.edit_config(num_attention_heads=None))

    def test_unknown_architecture(self):
        self.refused("LlamaForCausalLM", model=self.edit_config(architectures=["GrokForCausalLM"]))

    def test_a_split_that_is_impossible(self):
        self.refused("tensor", tensor_parallel=3)

    def test_an_unknown_instruction_set(self):
        self.refused("max_isa", "avx512", worker_args=["--max-isa=mmx"])

    def test_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            command = [str(BIN / "caudal-coordinator"), "--model", str(DEMO), "--port", str(port), "--zmq", "",
                       "--control", f"tcp://127.0.0.1:{free_port()}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(port), done.stderr)

    def test_unreachable_coordinator(self):
        command = [str(BIN / "caudal-worker"), "--model", str(DEMO), "--coordinator",
                   f"tcp://127.0.0.1:{free_port()}", "--tensor-parallel", "1", "--join-timeout-s", "1.5"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 10, done.stderr)
        self.assertIn("coordinator", done.stderr)

    def test_a_control_port_off_loopback_needs_keys(self):
        command = [str(BIN / "caudal-coordinator"), "--model", str(DEMO), "--port", "0", "--zmq", "",
                   "--control", "tcp://0.0.0.0:0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("CURVE", done.stderr)

    def test_an_installed_tree_can_be_moved(self):
        with tempfile.TemporaryDirectory() as folder:
            first, moved = pathlib.Path(folder) / "first", pathlib.Path(folder) / "moved"
            subprocess.run(["cmake", "--install", os.environ["CAUDAL_BUILD"], "--prefix", str(first)], check=True,
                           stdout=subprocess.DEVNULL)
            first.rename(moved)
            with Cluster(wait=False) as cluster:  # only for its ports, its marks and its check of leftovers
                cluster.stop()
                cluster.command = [str(moved / "bin/caudal-coordinator"), "--config", str(moved / "etc/caudal/coordinator.toml"),
                                   "--port", str(cluster.port), "--control", cluster.control, "--zmq", ""]
                cluster.process = cluster.start(cluster.command, cwd="/")
                cluster.wait_ready()
                self.assertEqual(cluster.chat("What is 17 plus 25?"), "42")

    def test_with_keys(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys"
            subprocess.run([str(BIN / "caudal-coordinator"), "--generate-keys", str(keys)], check=True)
            with Cluster(args=["--curve-keys", str(keys)]) as cluster:
                self.assertIn("42", cluster.chat("What is 17 plus 25?"))


if __name__ == "__main__":
    unittest.main()
