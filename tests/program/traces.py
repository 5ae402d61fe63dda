"""Every bad trace gets one clear line: file, line and field; exit code 2; nothing on stdout."""
import os
import tempfile
import threading
import unittest

from shared import main, run, run_json, trace_file

GOOD = '{"timestamp": 0, "input_length": 600, "output_length": 3, "hash_ids": [1, 2]}\n'
HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROW = "2023-11-16 18:17:03.9799600,4808,10\n"


def mooncake(timestamp="0", prompt="600", output="3", ids="[1, 2]"):
    return f'{{"timestamp": {timestamp}, "input_length": {prompt}, "output_length": {output}, "hash_ids": {ids}}}\n'


# name, content, line, words that the complaint must hold
BAD_MOONCAKE = [
    ("empty file", "", 1, ["no request"]),
    ("only blank lines", "\n \n\n", 4, ["no request"]),
    ("no JSON", "hello\n", 1, ["no valid JSON", "byte 1"]),
    ("a CSV file", HEAD + ROW, 1, ["no valid JSON"]),
    ("a list", "[1, 2]\n", 1, ["JSON object", "a list"]),
    ("a number", "5\n", 1, ["JSON object"]),
    ("a text", '"x"\n', 1, ["JSON object"]),
    ("cut off in a name", GOOD + '{"timestamp": 0, "input_le', 2, ["timestamp", "byte"]),
    ("cut off after a name", GOOD + '{"timestamp": 0, "input_length"', 2, ["'input_length'", "cut off"]),
    ("cut off in the ids", GOOD + mooncake()[:-4], 2, ["'hash_ids'", "cut off"]),
    ("two objects in a line", GOOD.strip() + GOOD, 1, ["no valid JSON"]),
    ("no timestamp", '{"input_length": 1, "output_length": 1, "hash_ids": []}\n', 1, ["'timestamp'", "missing"]),
    ("no input length", '{"timestamp": 1, "output_length": 1, "hash_ids": []}\n', 1, ["'input_length'", "missing"]),
    ("no output length", '{"timestamp": 1, "input_length": 1, "hash_ids": []}\n', 1, ["'output_length'", "missing"]),
    ("no ids", GOOD * 2 + '{"timestamp": 1, "input_length": 1, "output_length": 1}\n', 3, ["'hash_ids'", "missing"]),
    ("an empty object", "{}\n", 1, ["'timestamp'", "missing"]),
    ("negative length", mooncake(prompt="-5"), 1, ["'input_length'", "-5", "negative"]),
    ("negative output", mooncake(output="-1"), 1, ["'output_length'", "negative"]),
    ("negative time", mooncake(timestamp="-3"), 1, ["'timestamp'", "negative"]),
    ("negative id", mooncake(ids="[1, -2]"), 1, ["'hash_ids'", "-2", "negative"]),
    ("length past 31 bits", mooncake(prompt="2147483648"), 1, ["'input_length'", "too large", "2147483647"]),
    ("length past 64 bits", mooncake(output="99999999999999999999999"), 1, ["'output_length'", "too large"]),
    ("length past a double", mooncake(prompt="1e999"), 1, ["'input_length'", "too large"]),
    ("an id with a point", mooncake(ids="[1.0]"), 1, ["'hash_ids'", "whole number", "1.0"]),
    ("an id with an exponent", mooncake(ids="[1e3]"), 1, ["'hash_ids'", "whole number", "1e3"]),
    ("id past 64 bits", mooncake(ids="[18446744073709551616]"), 1, ["'hash_ids'", "too large"]),
    ("fraction of a token", mooncake(prompt="1.5"), 1, ["'input_length'", "1.5", "whole number"]),
    ("fraction of an id", mooncake(ids="[1.5]"), 1, ["'hash_ids'", "whole number"]),
    ("length as a text", mooncake(prompt='"600"'), 1, ["'input_length'", "a text"]),
    ("length as null", mooncake(output="null"), 1, ["'output_length'", "null"]),
    ("length as true", mooncake(output="true"), 1, ["'output_length'", "true"]),
    ("length as a list", mooncake(prompt="[600]"), 1, ["'input_length'", "a list"]),
    ("length as an object", mooncake(prompt="{}"), 1, ["'input_length'", "an object"]),
    ("ids as a number", mooncake(ids="5"), 1, ["'hash_ids'", "a number"]),
    ("ids as a text", mooncake(ids='"1"'), 1, ["'hash_ids'", "a text"]),
    ("an id as a text", mooncake(ids='["1"]'), 1, ["'hash_ids'", "a text"]),
    ("ids in a list of lists", mooncake(ids="[[1]]"), 1, ["'hash_ids'", "a list"]),
    ("a field twice", GOOD[:-2] + ', "hash_ids": []}\n', 1, ["'hash_ids'", "twice"]),
    ("a zero byte", GOOD.encode() + b'{"timestamp": \x000}\n', 2, ["'timestamp'", "zero byte", "byte 15"]),
    ("a zero byte after the object", GOOD.encode()[:-1] + b"\x00\n", 1, ["'hash_ids'", "zero byte"]),
    ("bytes that are no UTF-8", b'{"a": "\xff\xfe"}\n', 1, ["no valid JSON"]),
    ("NaN", mooncake(prompt="NaN"), 1, ["'input_length'", "no valid JSON"]),
]

BAD_AZURE = [
    ("empty file", "", 1, ["'TIMESTAMP'", "empty"]),
    ("no request", HEAD, 2, ["no request"]),
    ("no header", ROW, 1, ["'TIMESTAMP'", "header"]),
    ("a column missing", "TIMESTAMP,ContextTokens\n", 1, ["'GeneratedTokens'", "header"]),
    ("a column twice", "TIMESTAMP,ContextTokens,GeneratedTokens,ContextTokens\n", 1, ["'ContextTokens'", "2 times"]),
    ("other case", HEAD.lower(), 1, ["'TIMESTAMP'"]),
    ("a JSON file", GOOD, 1, ["'TIMESTAMP'"]),
    ("cut off after the time", HEAD + ROW + "2023-11-16 18:17:03", 3, ["'ContextTokens'", "missing"]),
    ("cut off after the context", HEAD + "2023-11-16 18:17:03,4808", 2, ["'GeneratedTokens'", "missing"]),
    ("cut off at the comma", HEAD + "2023-11-16 18:17:03,4808,", 2, ["'GeneratedTokens'", "missing"]),
    ("too many columns", HEAD + "2023-11-16 18:17:03,4808,10,7\n", 2, ["4 columns"]),
    ("negative", HEAD + "2023-11-16 18:17:03,-4808,10\n", 2, ["'ContextTokens'", "-4808", "negative"]),
    ("past 31 bits", HEAD + "2023-11-16 18:17:03,1,2147483648\n", 2, ["'GeneratedTokens'", "too large"]),
    ("past 64 bits", HEAD + "2023-11-16 18:17:03,99999999999999999999,1\n", 2, ["'ContextTokens'", "too large"]),
    ("a fraction", HEAD + "2023-11-16 18:17:03,1.5,1\n", 2, ["'ContextTokens'", "whole number", "1.5"]),
    ("a word", HEAD + "2023-11-16 18:17:03,1,many\n", 2, ["'GeneratedTokens'", "many"]),
    ("an exponent", HEAD + "2023-11-16 18:17:03,1e3,1\n", 2, ["'ContextTokens'", "whole number"]),
    ("no time", HEAD + ",1,1\n", 2, ["'TIMESTAMP'"]),
    ("a time without a date", HEAD + "18:17:03,1,1\n", 2, ["'TIMESTAMP'", "18:17:03"]),
    ("a month that is none", HEAD + "2023-13-16 18:17:03,1,1\n", 2, ["'TIMESTAMP'"]),
    ("a zone that is none", HEAD + "2023-11-16 18:17:03+99:99,1,1\n", 2, ["'TIMESTAMP'", "+99:99"]),
    ("minutes of a zone that are none", HEAD + "2023-11-16 18:17:03+01:60,1,1\n", 2, ["'TIMESTAMP'", "+01:60"]),
    ("a zone past the date line", HEAD + "2023-11-16 18:17:03-1500,1,1\n", 2, ["'TIMESTAMP'", "-1500"]),
    ("a zero byte", HEAD.encode() + b"2023-11-16 18:17:03,1\x00,1\n", 2, ["'ContextTokens'"]),
    ("a zero byte in the header", b"TIMESTAMP\x00,ContextTokens,GeneratedTokens\n", 1, ["'TIMESTAMP'", "zero byte"]),
    ("an open quote", HEAD + '"2023-11-16 18:17:03,1,1\n', 2, ["quote"]),
    ("text after a quote", HEAD + '"2023-11-16 18:17:03"x,1,1\n', 2, ["quote"]),
]


class BadTraces(unittest.TestCase):
    def refused(self, command, content, line, words):
        with trace_file(content) as path:
            code, out, err = run(*command, "--trace", path, "--json")
            self.assertEqual((code, out), (2, ""), err)
            self.assertTrue(err.startswith(f"tokenheap: {path}: line {line}: "), err)
            self.assertEqual(err.count("\n"), 1, err)
            for word in words:
                self.assertIn(word, err)

    def test_mooncake(self):
        for name, content, line, words in BAD_MOONCAKE:
            for command in (["waste", "--format", "mooncake"], ["prefix", "--capacity-blocks", "inf"], ["serve", "--format", "mooncake"]):
                with self.subTest(name, command=command[0]):
                    self.refused(command, content, line, words)

    def test_azure(self):
        for name, content, line, words in BAD_AZURE:
            for command in (["waste", "--format", "azure"], ["serve", "--format", "azure"]):
                with self.subTest(name, command=command[0]):
                    self.refused(command, content, line, words)

    def test_too_long_to_serve(self):
        long = "2147483647"
        self.refused(["serve", "--format", "mooncake", "--scale", "1"], GOOD + mooncake(prompt=long), 2,
                     ["'input_length'", "2147483650 tokens", "4194304", "--scale"])
        self.refused(["serve", "--format", "mooncake", "--scale", "1"], GOOD + mooncake(output=long), 2, ["'output_length'"])
        self.refused(["serve", "--format", "azure", "--scale", "1"], HEAD + ROW + f"2023-11-16 18:17:03,{long},1\n", 3,
                     ["'ContextTokens'", "--scale"])

    def test_no_file(self):
        for path, word in (("/nonexistent/trace", "No such file"), ("/", "directory"), ("/dev/zero", "neither a file nor a pipe")):
            for command in (["waste", "--format", "azure"], ["prefix", "--capacity-blocks", "9"]):
                code, out, err = run(*command, "--trace", path)
                self.assertEqual((code, out), (2, ""))
                self.assertIn(word, err)
                self.assertIn(path, err)


class GoodTraces(unittest.TestCase):
    def total(self, form, content):
        with trace_file(content) as path:
            return run_json("waste", "--trace", path, "--format", form, "--block-tokens", 16)

    def test_mooncake_variants_mean_the_same(self):
        plain = self.total("mooncake", GOOD * 2)
        self.assertEqual(plain["requests"], 2)
        variants = {
            "no newline at the end": GOOD * 2 + "",
            "CRLF": (GOOD * 2).replace("\n", "\r\n"),
            "blank lines": "\n" + GOOD + "\n  \n" + GOOD + "\n",
            "byte order mark": "\ufeff" + GOOD * 2,
            "unknown fields": GOOD.replace("{", '{"model": {"hash_ids": [-1], "x": [[]]}, "note": null, ', 1) * 2,
            "another order": '{"hash_ids": [1], "output_length": 3, "input_length": 600, "timestamp": 7}\n' * 2,
            "times with decimals, out of order": mooncake(timestamp="12.5") + mooncake(timestamp="3"),
            "whole numbers with a point": mooncake(prompt="600.0") * 2,
            "large ids": mooncake(ids="[18446744073709551615, 0]") * 2,
            "no ids at all": mooncake(ids="[]") * 2,
        }
        for name, content in variants.items():
            with self.subTest(name):
                self.assertEqual(self.total("mooncake", content), plain)
        self.assertEqual(self.total("mooncake", (GOOD * 2)[:-1]), plain)

    def test_azure_variants_mean_the_same(self):
        plain = self.total("azure", HEAD + ROW * 2)
        self.assertEqual(plain["requests"], 2)
        variants = {
            "CRLF": (HEAD + ROW * 2).replace("\n", "\r\n"),
            "no newline at the end": (HEAD + ROW * 2)[:-1],
            "byte order mark": "\ufeff" + HEAD + ROW * 2,
            "quotes": HEAD.replace("TIMESTAMP", '"TIMESTAMP"') + '"2023-11-16 18:17:03.9",4808,"10"\n' * 2,
            "another order, more columns": "a,GeneratedTokens,ContextTokens,b,TIMESTAMP\n"
                                           + '"x, ""y""",10,4808,,2023-11-16 18:17:03\n' * 2,
            "a zone": HEAD + "2024-05-10 00:00:00.009930+00:00,4808,10\n" + "2024-05-10T00:00:00Z,4808,10\n",
            "blanks around": HEAD + " 2023-11-16 18:17:03 , 4808 , 10 \n" * 2,
        }
        for name, content in variants.items():
            with self.subTest(name):
                self.assertEqual(self.total("azure", content), plain)

    def test_requests_without_tokens_are_left_out(self):
        out = self.total("mooncake", GOOD + mooncake(prompt="0") + mooncake(output="0"))
        self.assertEqual((out["requests"], out["skipped"]), (3, 2))
        self.assertEqual(out["waste_steps_percent"], self.total("mooncake", GOOD)["waste_steps_percent"])

    def test_a_pipe_is_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pipe")
            os.mkfifo(path)

            def feed():
                with open(path, "w") as pipe:
                    pipe.write(GOOD * 5000)

            writer = threading.Thread(target=feed)
            writer.start()
            out = run_json("waste", "--trace", path, "--format", "mooncake")
            writer.join()
        self.assertEqual(out["requests"], 5000)

    def test_a_long_line(self):
        ids = ", ".join(str(n) for n in range(300000))
        out = self.total("mooncake", mooncake(prompt="153600000", ids=f"[{ids}]"))
        self.assertEqual(out["requests"], 1)


if __name__ == "__main__":
    main()
