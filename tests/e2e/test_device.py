"""A cluster of two ranks with an emulated GPU each: processes that meet over NCCL's stand-in, share memory as CUDA IPC
does, and replay CUDA graphs with all-reduces in them. Small, because every CUDA thread is a fiber."""
import concurrent.futures
import os
import unittest

os.environ["CAUDAL_SIMT"] = "devices=2"

from cluster import Cluster

SMALL = ("--device=simt", "--num-blocks=64", "--max-context-tokens=256")


class EmulatedGpus(unittest.TestCase):
    def test_two_gpus_answer_as_one(self):
        with Cluster(tensor_parallel=2, worker_args=SMALL) as cluster:
            self.assertIn("all-reduces of up to 256 KiB: one-shot over peer memory", cluster.output())
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                answers = [pool.submit(cluster.chat, "What is 17 plus 25?", max_tokens=8) for _ in range(3)]
                self.assertTrue(all("42" in a.result() for a in answers))
            self.assertNotIn("42", cluster.chat("What is 17 plus 25?", max_tokens=8, bad_words=["42"]))
            self.assertEqual(cluster.stop(), 0)


if __name__ == "__main__":
    unittest.main()
