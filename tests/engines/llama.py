#!/usr/bin/env python3
"""llama.cpp and ggml on our memory: equal tokens and logits, what was taken, what it cost.

    llama.py LIB_DIR SOURCE_DIR      LIB_DIR holds libtokenheap_ggml.so; 77 without llama-cpp-python or without it

GGML_SOURCE_DIR names a tree of ggml's sources (it has src/ggml-backend-impl.h): the rows of the full buffer type need it.
One process for each allocator; they take turns, so that what else the machine does falls on all of them.
"""

import ctypes
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from worker import Worker

REPEATS = int(os.environ.get("TOKENHEAP_ENGINE_REPEATS", "7"))
TURNS, TOKENS, SEED, PROMPT, LEAK = 4, 96, 7, b"the rain in the", 12352
OUTPUT = ("greedy", "sampled", "logits")
STATS = {"asked_peak": 1, "held_peak": 3, "left": 4, "allocations": 6, "refused": 7, "misused": 8}


def run(path, mapped):
    """Opens the model and a context, generates greedily and by chance, closes both."""
    import llama_cpp

    begun = time.process_time()
    llm = llama_cpp.Llama(path, n_ctx=512, n_batch=64, n_threads=1, n_threads_batch=1, use_mmap=mapped, logits_all=True,
                          verbose=False, seed=SEED)
    opened = time.process_time()
    prompt, seen, greedy, sampled = llm.tokenize(PROMPT), hashlib.sha256(), [], []
    llm.eval(prompt)
    while len(greedy) != TOKENS:
        logits = llm.scores[llm.n_tokens - 1]
        seen.update(logits.tobytes())
        greedy.append(int(logits.argmax()))
        llm.eval(greedy[-1:])
    decoded = time.process_time()
    llm.reset()
    for token in llm.generate(prompt, temp=0.9, top_k=40, top_p=0.95):
        seen.update(llm.scores[llm.n_tokens - 1].tobytes())
        sampled.append(token)
        if len(sampled) == TOKENS:
            break
    llm.close()
    return {"greedy": greedy, "sampled": sampled, "logits": seen.hexdigest(), "whole": time.process_time() - begun,
            "decode": decoded - opened}


def figures(lib):
    lib.tokenheap_ggml_stat.restype = ctypes.c_size_t
    return {name: lib.tokenheap_ggml_stat(which) for name, which in STATS.items()}


def leak():
    """A context of ggml's that nobody frees."""
    import llama_cpp

    class Parameters(ctypes.Structure):
        _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]

    ggml = ctypes.CDLL(str(libraries() / "libggml-base.so"))
    ggml.ggml_init.argtypes = [Parameters]
    ggml.ggml_init.restype = ctypes.c_void_p
    assert llama_cpp and ggml.ggml_init(Parameters(LEAK, None, True))


def pair_cost(lib):
    """Microseconds of a piece of 500 bytes taken and given back, calls from Python included; the best of some loops."""
    lib.ggml_aligned_malloc.argtypes, lib.ggml_aligned_malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    lib.ggml_aligned_free.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    loops, best = 2000, float("inf")
    for _ in range(9):
        begun = time.process_time()
        for _ in range(loops):
            lib.ggml_aligned_free(lib.ggml_aligned_malloc(500), 500)
        best = min(best, time.process_time() - begun)
    return best / loops * 1e6


def worker(path, lib_path):
    """Answers commands from standard input with one line of JSON each."""
    lib = ctypes.CDLL(lib_path) if lib_path else None
    for line in sys.stdin:
        command = line.strip()
        if command == "leak":
            leak()
            answer = {}
        elif command == "figures":
            answer = figures(lib)
        elif command == "pair":
            answer = pair_cost(lib)
        elif command == "heap":
            lib.ggml_heap_stat.restype = ctypes.c_size_t
            answer = {"asked_peak": lib.ggml_heap_stat(0), "held_peak": lib.ggml_heap_stat(1), "allocations": lib.ggml_heap_stat(2)}
        else:
            answer = run(path, command == "mapped")
        print(json.dumps(answer), flush=True)


class Preloaded(Worker):
    """A process in which ggml's two functions are those of `preload`, or ggml's own."""

    def __init__(self, model, preload="", **environment):
        given = os.environ | environment | ({"LD_PRELOAD": str(preload)} if preload else {})
        super().__init__(__file__, model, str(preload), env=given)


def libraries():
    import llama_cpp

    return pathlib.Path(llama_cpp.__file__).parent / "lib"


def ggml_version():
    ggml = ctypes.CDLL(str(libraries() / "libggml-base.so"))
    ggml.ggml_version.restype = ctypes.c_char_p
    return ggml.ggml_version().decode()


def percent(above, of):
    return None if not of else round(100 * (above - of) / of, 2)


def row(engine, version, door, what, equal, **more):
    keys = {"engine": engine, "version": version, "door": door, "what": what, "output": "equal" if equal else "different",
            "allocations": 0, "peak_bytes": 0, "engine_peak_bytes": None, "waste_percent": None, "engine_waste_percent": None,
            "overhead_percent": None, "note": ""}
    print("ROW " + json.dumps(keys | more))
    return equal


def heap_figures(model, source, scratch):
    """What the heap of glibc holds for ggml, by a shared object that is compiled here; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    made = pathlib.Path(scratch) / "libggml_heap.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", pathlib.Path(source) / "tests/engines/ggml_heap.c", "-o", made,
                    "-lpthread"], check=True)
    watched = Preloaded(model, made)
    watched.ask("own")
    answer = watched.ask("heap")
    answer["pair"] = watched.ask("pair")
    watched.end()
    return answer


def take_turns(model, lib_path, report, wanted):
    """Two fresh processes, ours and the engine's own: outputs, figures of ours, and how much slower ours was (whole, decode).

    A process has luck or none with where its memory lies, for as long as it lives: so there are many short ones.
    """
    own, ours = Preloaded(model), Preloaded(model, lib_path, TOKENHEAP_GGML_REPORT=str(report))
    times = {own: [], ours: []}
    for turn in range(TURNS + 1):
        for process in (own, ours) if turn % 2 == 0 else (ours, own):
            made = process.ask("own")
            assert all(made[key] == wanted.setdefault(key, made[key]) for key in OUTPUT), f"output differs: {made} {wanted}"
            if turn != 0:  # the first one reads the file into the cache of the system, and opens what is there once for all
                times[process].append((made["whole"], made["decode"]))
        first = ours.ask("figures")["allocations"] if turn == 0 else first
    ends = ours.ask("figures")
    assert ends["left"] == 0 and ends["refused"] == 0 and ends["misused"] == 0, ends
    ends["one_run"], rest = divmod(ends["allocations"] - first, TURNS)
    assert rest == 0 and 0 < ends["one_run"] <= first, "runs that differ in how often they ask"
    middle = lambda process, k: statistics.median(t[k] for t in times[process])
    return own, ours, ends, [middle(ours, k) / middle(own, k) for k in (0, 1)], 1000 * middle(own, 1) / TOKENS


def llama_rows(lib_path, source, scratch, model):
    """llama.cpp, unmodified, with and without our two functions; True if all was equal."""
    import llama_cpp

    report, wanted, ratios = pathlib.Path(scratch) / "report", {}, []
    for pair in range(REPEATS):
        own, ours, ends, slower, speed = take_turns(model, lib_path, report, wanted)
        ratios.append(slower)
        if pair + 1 != REPEATS:
            own.end()
            ours.end()
    fresh = Preloaded(model, lib_path, TOKENHEAP_GGML_REPORT="off")
    mapped, of_mapped = [process.ask("mapped") for process in (own, fresh)], fresh.ask("figures")
    pair_us = ours.ask("pair")
    ours.ask("leak")
    for process in (own, ours, fresh):
        process.end()
    told = report.read_text()
    for owner in ("llama_model_base::load_tensors", "llama_kv_cache::llama_kv_cache", "llama_context::graph_compute",
                  f"still out: {LEAK} bytes in 1 pieces"):
        assert owner in told, f"the report does not name {owner}:\n{told}"
    heap = heap_figures(model, source, scratch)
    whole, decode = (percent(statistics.median(r[k] for r in ratios), 1) for k in (0, 1))
    shared = {"allocations": ends["one_run"], "peak_bytes": ends["held_peak"],
              "waste_percent": percent(ends["held_peak"], ends["asked_peak"]),
              "engine_peak_bytes": heap and heap["held_peak"],
              "engine_waste_percent": heap and percent(heap["held_peak"], heap["asked_peak"])}
    version = f"{llama_cpp.__version__}, ggml {ggml_version()}"
    call = f"; an allocation with its stack and its end take {pair_us - heap['pair']:.1f} us more than the heap's" if heap else ""
    spread = [f"{percent(f(r[1] for r in ratios), 1):+}" for f in (min, max)]
    part = lambda what, good, **more: row("llama-cpp-python", version, "LD_PRELOAD libtokenheap_ggml.so", what, good, **more)
    return all([
        part(f"{TOKENS} tokens, greedy; all logits", True, **shared, overhead_percent=decode,
             note=f"{speed:.2f} ms of the processor a token; {REPEATS} pairs of processes, {' to '.join(spread)} %{call}"),
        part(f"{TOKENS} tokens, sampled with seed {SEED}; model and context opened and closed", True, **shared,
             overhead_percent=whole, note="weights read into memory (use_mmap off); nothing left at the end"),
        part(f"{TOKENS} tokens, weights mapped from the file", all(m[key] == wanted[key] for m in mapped for key in OUTPUT),
             allocations=of_mapped["allocations"], peak_bytes=of_mapped["held_peak"],
             waste_percent=percent(of_mapped["held_peak"], of_mapped["asked_peak"]),
             note="mapped weights are not ggml's memory, and in no report"),
    ])


def header_folders():
    """Folders of the headers (public ones, private one or None), or why there are none."""
    source = os.environ.get("GGML_SOURCE_DIR")
    public = [libraries().parent.parent / "include", libraries().parent / "include"]
    private = None
    if source:
        for at in (pathlib.Path(source), pathlib.Path(source) / "ggml", pathlib.Path(source) / "vendor/llama.cpp/ggml"):
            if (at / "src/ggml-backend-impl.h").is_file():
                public.append(at / "include")
                private = at / "src"
                break
        else:
            print(f"llama: GGML_SOURCE_DIR={source} has no src/ggml-backend-impl.h")
    found = next((at for at in public if (at / "ggml-backend.h").is_file()), None)
    return found, private


def built_rows(source, scratch, model):
    """Programs that are compiled here against ggml's headers; True if all was equal."""
    public, private = header_folders()
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if public is None or compiler is None:
        print(f"llama: decoder left out: {'no ggml headers; set GGML_SOURCE_DIR' if compiler else 'no C++ compiler'}")
        return True

    def build(name, *links):
        made, libs = pathlib.Path(scratch) / name, libraries()
        subprocess.run([compiler, "-std=c++20", "-O1", "-I", f"{source}/include", "-isystem", public,
                        *(["-isystem", private] if private else []), f"{source}/examples/ggml/{name}.cpp", "-o", made,
                        "-L", libs, *links, "-lggml-base", f"-Wl,-rpath,{libs}", "-lpthread"], check=True)
        return made

    good = decoder_rows(build("decoder", "-lggml-cpu"))
    if private is None:
        print("llama: full buffer type left out: it needs ggml-backend-impl.h; set GGML_SOURCE_DIR to ggml's sources")
    elif (public / "llama.h").is_file():
        good = weights_row(build("llama_weights", "-lllama", "-lggml"), model) and good
    return good


def ways(program, *words):
    """What one run of a program printed; it fails where outputs differ."""
    ended = subprocess.run([program, *words], capture_output=True, text=True)
    found = [json.loads(line.removeprefix("WAY ")) for line in ended.stdout.splitlines() if line.startswith("WAY ")]
    assert found, f"{program}: {ended.stderr}"
    return found, ended.returncode == 0


def weights_row(program, model):
    """llama.cpp's weights on our pages, by its public option; True if all was equal."""
    import llama_cpp

    runs = [ways(program, model, str(TOKENS)) for _ in range(REPEATS)]
    last = runs[-1][0][0]
    equal = all(good and one["own"] == one["ours"] == last["own"] for (one,), good in runs)
    slower = percent(*(statistics.median(one[key] for (one,), _ in runs) for key in ("our_seconds", "own_seconds")))
    return row("llama.cpp", f"{llama_cpp.__version__}, ggml {ggml_version()}", "adapt/ggml_buffer_type.hpp",
               f"{TOKENS} tokens, weights by tensor_buft_overrides; all logits", equal, allocations=last["allocations"],
               peak_bytes=last["peak_bytes"], waste_percent=percent(last["peak_bytes"], last["asked_bytes"]),
               overhead_percent=slower, note="the engine's own are mapped from the file")


def decoder_rows(program):
    """A decoder through ggml's own functions, on three kinds of memory and two kinds of cache; True if all was equal."""
    equal = True
    for kind in ("f16", "f32"):
        times, last = {}, {}
        for _ in range(REPEATS):
            found, good = ways(program, kind)
            equal = equal and good
            for way in found:
                key = (way["memory"], way["cache"])
                times.setdefault(key, []).append(way["seconds"])
                last[key] = way
        first = last["ggml", "one piece"]["logits"]
        for (memory, cache), way in last.items():
            if memory == "ggml" and cache == "one piece":
                continue
            door = {"ggml": "adapt/ggml_rows.hpp", "public": "adapt/ggml.hpp", "full": "adapt/ggml_buffer_type.hpp"}[memory]
            slower = percent(statistics.median(times[memory, cache]), statistics.median(times["ggml", cache]))
            equal &= row("ggml", ggml_version(), door, f"decoder, {kind} cache in {cache}; all logits", way["logits"] == first,
                         allocations=way["allocations"], peak_bytes=way["peak_bytes"],
                         waste_percent=percent(way["peak_bytes"], way["asked_bytes"]),
                         overhead_percent=None if memory == "ggml" else slower,
                         note="ggml's memory, our block ids" if memory == "ggml" else "")
    return equal


def main():
    lib_dir, source = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    try:
        import llama_cpp
    except ImportError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
    library = lib_dir / "libtokenheap_ggml.so"
    if not library.is_file():
        print(f"skipped: no libtokenheap_ggml.so in {lib_dir}")
        sys.exit(77)
    sys.path.insert(0, str(source / "tests/engines"))
    import write_gguf

    with tempfile.TemporaryDirectory() as scratch:
        model = str(pathlib.Path(scratch) / "model.gguf")
        write_gguf.write(model)
        good = llama_rows(library, source, scratch, model)
        good = built_rows(source, scratch, model) and good
    assert llama_cpp and good, "output differs"
    print("llama: all outputs equal")


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        worker(*sys.argv[2:4])
    else:
        main()
