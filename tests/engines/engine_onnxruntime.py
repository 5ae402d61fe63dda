#!/usr/bin/env python3
"""ONNX Runtime on our memory: a model of random weights, equal to the last bit, through RegisterAllocator.

    engine_onnxruntime.py LIB_DIR SOURCE_DIR      77 without ONNX Runtime

The program is tokenheap_onnxruntime of LIB_DIR, or is built here where onnxruntime_c_api.h is found: in ONNXRUNTIME_INCLUDE
or in the system's folders. PyPI's wheel has the library alone: then the slots beside this file serve.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

LAYERS, WIDTH, ROWS, SEED = 4, 512, 64, 7
RUNS = os.environ.get("TOKENHEAP_ENGINE_REPEATS", "21")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def model(path):
    """Attention over the rows and an MLP, with residuals: what a decoder's layer does to memory."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    nodes, weights, x = [], [], "x"

    def weight(name, rows, columns):
        values = (random.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        return name

    def node(kind, inputs, output, **how):
        nodes.append(helper.make_node(kind, inputs, [output], **how))
        return output

    for k in range(LAYERS):
        q, key, v = (node("MatMul", [x, weight(f"{n}_weight{k}", WIDTH, WIDTH)], f"{n}{k}") for n in "qkv")
        scores = node("MatMul", [q, node("Transpose", [key], f"turned{k}", perm=[1, 0])], f"scores{k}")
        seen = node("MatMul", [node("Softmax", [scores], f"shares{k}", axis=1), v], f"seen{k}")
        middle = node("Add", [x, seen], f"middle{k}")
        up = node("MatMul", [middle, weight(f"up_weight{k}", WIDTH, 4 * WIDTH)], f"up{k}")
        down = node("MatMul", [node("Relu", [up], f"gate{k}"), weight(f"down_weight{k}", 4 * WIDTH, WIDTH)], f"down{k}")
        x = node("Add", [middle, down], f"out{k}")
    shape = ["rows", WIDTH]
    graph = helper.make_graph(nodes, "layers", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def program_of(folder, source, place):
    """The program that was built with the library, or one that is built now; None without the header."""
    name = "tokenheap_onnxruntime"
    for path in (folder / name, folder / "bin" / name, folder.parent / "bin" / name):
        if path.is_file():
            return path
    named = os.environ.get("ONNXRUNTIME_INCLUDE")
    places = ([pathlib.Path(named)] if named else []) + [
        pathlib.Path(root) / part for root in ("/usr/include", "/usr/local/include")
        for part in ("onnxruntime", "onnxruntime/core/session", "")] + [source / "tests/engines/onnxruntime"]
    header = next((p for p in places if (p / "onnxruntime_c_api.h").is_file()), None)
    compiler = shutil.which("g++")
    if header is None or compiler is None:
        return None
    command = [compiler, "-std=c++20", "-O2", "-I", source / "include", "-isystem", header,
               source / "examples/onnxruntime/session.cpp", "-o", place / name, "-ldl", "-lpthread"]
    print("+", *command)
    subprocess.run([str(c) for c in command], check=True)
    return place / name


def main():
    folder = pathlib.Path(sys.argv[1])
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as e:
        skip(f"no {e.name}: pip install onnxruntime onnx")
    libraries = sorted((pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
    if not libraries:
        skip(f"onnxruntime {onnxruntime.__version__} has no libonnxruntime.so of its own")
    with tempfile.TemporaryDirectory() as place:
        program = program_of(folder, pathlib.Path(sys.argv[2]), pathlib.Path(place))
        if program is None:
            skip("no onnxruntime_c_api.h, which PyPI's onnxruntime does not ship: name its folder in ONNXRUNTIME_INCLUDE")
        path = pathlib.Path(place) / "layers.onnx"
        model(path)
        run = subprocess.run([program, libraries[0], path, str(ROWS), str(WIDTH), RUNS], capture_output=True, text=True)
    print(run.stdout, run.stderr, sep="", end="")
    if run.returncode == 2:
        skip(run.stderr.strip())
    found = json.loads(run.stdout)
    asked = 4 * LAYERS * (3 * WIDTH * WIDTH + 2 * 4 * WIDTH * WIDTH)
    assert found["equal"], "the output differs"
    assert found["in_use"] >= asked, f"the weights, {asked} bytes, are not on our memory"
    assert found["reserves"] >= 5 * LAYERS, "weights do not come through Reserve"
    assert found["told"] in (-1, found["allocations"]), "ONNX Runtime does not read our statistics"
    assert found["left"] == 0, "memory is still out after the session"
    row = {
        "engine": "ONNX Runtime", "version": onnxruntime.__version__, "door": "adapt/onnxruntime.hpp",
        "what": f"{LAYERS} layers of width {WIDTH}, {ROWS} rows, session.use_env_allocators", "output": "equal",
        "allocations": found["allocations"], "peak_bytes": found["most_held"],
        "engine_peak_bytes": found["own_held"] if found["own_held"] >= 0 else None,
        "waste_percent": round(100 * (found["most_held"] / found["most_in_use"] - 1), 2),
        "engine_waste_percent": round(100 * (found["own_held"] / found["own_most_in_use"] - 1), 2)
        if found["own_most_in_use"] > 0 else None,
        "overhead_percent": round(100 * (found["ours_ms"] / found["own_ms"] - 1), 2),
        "note": f"{found['reserves']} of the allocations are weights through Reserve"}
    print("ROW", json.dumps(row))
    assert run.returncode == 0


main()
