"""The single header of cmake/amalgamate.py: the same library, in two translation units, with each compiler.

    one_header.py SOURCE_DIR COMPILER [COMPILER]
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(sys.argv[1]).absolute()
COMPILERS = [compiler for compiler in sys.argv[2:] if compiler]
SCRIPT = ROOT / "cmake" / "amalgamate.py"
SOURCES = ROOT / "tests" / "packaging" / "one_header"
WARNINGS = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
sys.path.insert(0, str(ROOT / "cmake"))
sys.dont_write_bytecode = True
import headers  # noqa: E402  the macros that careless headers define
import mirror  # noqa: E402


def run(*command, env=None, cwd=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=env, cwd=cwd)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(str(word) for word in command)}: {done.returncode}\n{done.stdout}{done.stderr[:3000]}")
    return done.stdout


def make(floor, out, *more, env=None):
    return run(sys.executable, SCRIPT, "--floor", floor, "--out", out, *more, env=env)


def own_text(preprocessed, ours):
    """What the preprocessor left of the files whose path `ours` accepts, without blanks."""
    kept, mine = [], False
    for line in preprocessed.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            mine = ours(marker.group(1))
        elif mine and line.strip():
            kept.append(line.strip())
    return kept


class one_header(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tokenheap_one_header_"))
        self.addCleanup(shutil.rmtree, self.folder)
        for source in SOURCES.glob("*.cpp"):
            shutil.copy(source, self.folder)
        self.one = self.folder / "one.hpp"

    def test_equal_headers_give_equal_bytes(self):
        texts = []
        for seed in ("1", "2"):
            make(6, self.one, env=os.environ | {"PYTHONHASHSEED": seed})
            texts.append(self.one.read_bytes())
        self.assertEqual(texts[0], texts[1])
        self.assertEqual(run(sys.executable, SCRIPT, cwd="/").encode(), self.made(4))

    def made(self, floor):
        make(floor, self.one)
        return self.one.read_bytes()

    def test_it_is_the_umbrella_and_lacks_nothing(self):
        compiler = COMPILERS[0]
        make(6, self.one)
        whole = self.folder / "whole.cpp"
        whole.write_text("#include <tokenheap/tokenheap.hpp>\n")
        single = self.folder / "single.cpp"
        single.write_text('#include "one.hpp"\n')
        there = own_text(run(compiler, "-std=c++20", "-E", f"-I{ROOT}/include", whole), lambda path: "/include/tokenheap/" in path)
        here = own_text(run(compiler, "-std=c++20", "-E", single), lambda path: path.endswith("one.hpp"))
        self.assertGreater(len(there), 10000)
        self.assertEqual(len(here), len(there))
        self.assertEqual(here, there)
        kept = self.one.read_text()
        self.assertEqual(re.findall(r"^\s*#\s*include\s*[<\"]tokenheap/.*|^#pragma once", kept, re.M), [])
        comments = sum(path.read_text().count("///") for path, name in mirror.tree.plain_headers(ROOT))
        self.assertEqual(kept.count("///"), comments)

    def test_floors_below_leave_floors_above_out(self):
        for floor, there, absent in ((0, "core/result.hpp", "concepts/"), (4, "alloc/caching.hpp", "kv/"),
                                     (5, "kv/block_pool.hpp", "observe/")):
            text = self.made(floor).decode()
            self.assertIn(f"// ---- tokenheap/{there} ----", text)
            self.assertNotIn(f"// ---- tokenheap/{absent}", text)

    def test_two_translation_units_make_a_program(self):
        for position, compiler in enumerate(COMPILERS):
            # the first compiler takes the core as most programs do; the second everything, without exceptions and RTTI
            floor, more = ((4, []), (6, ["-fno-exceptions", "-fno-rtti"]))[position % 2]
            said = make(floor, self.one).strip()
            program = self.folder / "program"
            begun = time.monotonic()
            run(compiler, *WARNINGS, *more, "-O0", "first.cpp", "second.cpp", "-o", program,
                cwd=self.folder)
            print(f"{said.rsplit(' in ', 1)[0]}; {pathlib.Path(compiler).name} -O0, two units: {time.monotonic() - begun:.1f} s")
            run(program)

    def test_hostile_macros_do_no_harm(self):
        make(6, self.one)
        unit = self.folder / "hostile.cpp"
        unit.write_text("#include <sys/sysmacros.h>\n" + headers.hostile_lines(headers.HOSTILE) + '#include "one.hpp"\n')
        more = [] if "clang" in COMPILERS[0] else ["-ftrack-macro-expansion=0"]
        run(COMPILERS[0], *WARNINGS, *more, "-fno-exceptions", "-fno-rtti", "-fsyntax-only", unit)

    def test_with_the_headers_themselves_it_is_refused(self):
        make(0, self.one)
        unit = self.folder / "both.cpp"
        unit.write_text('#include <tokenheap/core/config.hpp>\n#include "one.hpp"\n')
        done = subprocess.run([COMPILERS[0], "-std=c++20", "-fsyntax-only", f"-I{ROOT}/include", unit], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("include one or the other", done.stderr)

    def planted(self, texts):
        """The run over a made-up tree of headers."""
        top = self.folder / "planted" / "include" / "tokenheap"
        shutil.rmtree(self.folder / "planted", ignore_errors=True)
        config = "".join(f"#define TOKENHEAP_VERSION_{part} 3\n" for part in ("MAJOR", "MINOR", "PATCH"))
        for name, text in ({"core/config.hpp": "#pragma once\n" + config} | texts).items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        return subprocess.run([sys.executable, SCRIPT, "--root", self.folder / "planted"], capture_output=True, text=True)

    def test_what_cannot_be_moved_is_refused(self):
        for text, complaint in (("#if X\n#include <tokenheap/core/config.hpp>\n#endif\n", "core/a.hpp:2: includes"),
                                ("#include TOKENHEAP_X\n", "an include of a macro")):
            done = self.planted({"core/a.hpp": text})
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(complaint, done.stderr)

    def test_includes_stay_where_they_matter(self):
        done = self.planted({
            "core/a.hpp": "#pragma once\n// #include <comment>\n#include <first>\n#if 1\n#include <under>\n#endif\n"
                          "int a;\n#include <tokenheap/core/b.hpp>\n#include <late>\n",
            "core/b.hpp": "#pragma once\n#include <first>\n#include <tokenheap/core/a.hpp>\nint b;\n"})
        self.assertEqual(done.returncode, 0, done.stderr)
        words = re.findall(r"^(?:#include <\w+>|int \w;|// #.*|#if 1|// tokenheap 3.3.3)", done.stdout, re.M)
        self.assertEqual(words, ["// tokenheap 3.3.3", "#include <first>", "// #include <comment>", "#if 1", "#include <under>",
                                 "int a;", "int b;", "#include <late>"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
