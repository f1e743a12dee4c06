"""250 recorded answers, bit for bit, for each instruction set that this processor has: over both endpoints, sampled,
greedy and by beams."""
import json
import pathlib
import subprocess
import sys
import unittest

from answers import instruction_sets

HERE = pathlib.Path(__file__).resolve().parent
RECORDS = HERE.parent / "reference" / "answers"
COMPARED = 250


class Answers(unittest.TestCase):
    def test_are_as_recorded(self):
        self.assertTrue(instruction_sets(), "no record fits this processor")
        for isa in instruction_sets():
            record = RECORDS / f"{isa}.json"
            every = len(json.loads(record.read_text())["digests"]) // COMPARED
            with self.subTest(isa):
                done = subprocess.run([sys.executable, "-B", HERE / "answers.py", "compare", record, "--every", str(every)],
                                      capture_output=True, text=True, timeout=280)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn(f"{COMPARED} of {COMPARED} answers as recorded", done.stdout)


if __name__ == "__main__":
    unittest.main()
