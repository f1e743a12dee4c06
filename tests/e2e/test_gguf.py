"""A GGUF file is a whole model: it serves what its directory serves, and one that lies is refused."""
import pathlib
import subprocess
import tempfile
import unittest

import gguf
from cluster import BIN, Cluster, DEMO, free_port

QUESTIONS = ("What is 17 plus 25?", "What is the opposite of hot?", "Count from 3 to 9.")


def answers(cluster):
    return [cluster.chat(question, max_tokens=40) for question in QUESTIONS]


class Gguf(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.file = pathlib.Path(folder) / "demo.gguf"

    def test_answers_as_the_directory_does(self):
        self.file.write_bytes(gguf.convert(DEMO))
        with Cluster(model=DEMO) as c:
            expected = answers(c)
        self.assertIn("42", expected[0])
        for model, ranks in ((self.file, 1), (self.file.parent, 2)):
            with self.subTest(model), Cluster(model=model, tensor_parallel=ranks) as c:
                self.assertEqual(answers(c), expected)
                self.assertIn("LlamaForCausalLM as bf16", c.output())

    def test_rounded_at_load(self):
        """By both formats and on two ranks, with a draft model that is rounded too: the answers are those without it."""
        for form in ("q8_0", "q4_0"):
            with self.subTest(form), Cluster(tensor_parallel=2, args=["--draft-model", str(DEMO.parent / "draft")],
                                             worker_args=[f"--quantize={form}"]) as c:
                plain = [c.chat(question, max_tokens=40, speculative="off") for question in QUESTIONS]
                self.assertEqual([c.chat(question, max_tokens=40, speculative="draft") for question in QUESTIONS], plain)
                self.assertIn("LlamaForCausalLM as f32", c.output())
                if form == "q8_0":
                    self.assertIn("42", plain[0])

    def refused(self, content, *words, args=()):
        """By the worker, as the coordinator has no use for tensors."""
        self.file.write_bytes(content)
        done = subprocess.run([BIN / "caudal-worker", "--coordinator", f"tcp://127.0.0.1:{free_port()}", "--model",
                               self.file, *args], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        for word in ("demo.gguf", *words):
            self.assertIn(word, done.stderr)

    def test_a_file_that_lies(self):
        metadata, tensors = gguf.metadata_of(DEMO), gguf.tensors_of(DEMO, 64)
        whole = gguf.image(metadata, tensors)
        self.refused(whole[:-1], "ends past the end of the file")
        self.refused(b"GGML" + whole[4:], "does not begin with GGUF")
        self.refused(gguf.image({**metadata, "llama.vocab_size": 7}, tensors), "llama.vocab_size", "2048")
        self.refused(gguf.image({**metadata, "general.architecture": "rwkv"}, tensors), "general.architecture")
        self.refused(gguf.image(metadata, {**tensors, "blk.5.ffn_up.weight": ([1], 0, b"1234")}), "model.layers.5.mlp")
        fewer = {name: tensor for name, tensor in tensors.items() if name != "blk.0.ffn_up.weight"}
        self.refused(gguf.image(metadata, fewer), "Missing tensors: model.layers.0.mlp.up_proj.weight")
        shape, _, data = tensors["blk.0.ffn_up.weight"]
        blocks = {**tensors, "blk.0.ffn_up.weight": (shape, 8, bytes(len(data) // 64 * 34))}
        self.refused(gguf.image(metadata, blocks), "Stored in blocks already: model.layers.0.mlp.up_proj.weight (is Q8_0)",
                     args=["--quantize", "q4_0"])
        self.refused(gguf.image(metadata, {**tensors, "blk.0.ffn_up.weight": (shape, 10, data)}), "Q2_K")
        with Cluster(model=self.file, wait=False) as c:  # the last of them
            self.assertEqual(c.process.wait(60), 1)
            self.assertIn("Q2_K", c.output())


if __name__ == "__main__":
    unittest.main()
