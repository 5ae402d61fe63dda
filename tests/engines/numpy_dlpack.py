#!/usr/bin/env python3
"""Planes of our KV pool in NumPy and PyTorch without a copy: right numbers, writes seen, attention over scattered blocks.

    numpy_dlpack.py LIB_DIR SOURCE_DIR      LIB_DIR holds libtokenheap_dlpack.so; 77 without it or without NumPy
"""

import ctypes
import json
import pathlib
import sys

BLOCKS, LAYERS, HEADS, SIZE, TOKENS = 24, 3, 2, 8, 16
TYPES = {"float32": 0, "float16": 1, "bfloat16": 2}

make_capsule = ctypes.pythonapi.PyCapsule_New
make_capsule.restype, make_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Plane:
    """What from_dlpack asks for."""

    def __init__(self, view):
        self.view = view

    def __dlpack__(self, **_):
        return make_capsule(self.view, b"dltensor_versioned", None)

    def __dlpack_device__(self):
        return 1, 0


class Pool:
    def __init__(self, lib, kind, by_head):
        sizes = (ctypes.c_size_t * 4)(LAYERS, HEADS, SIZE, TOKENS)
        self.lib, self.by_head = lib, by_head
        self.handle = lib.tokenheap_planes_open(TYPES[kind], by_head, BLOCKS, sizes)
        assert self.handle, "the pool was refused"
        lib.tokenheap_planes_fill(self.handle)

    def plane(self, layer, plane, block=-1, read_only=False):
        view = self.lib.tokenheap_planes_view(self.handle, layer, plane, block, read_only)
        return Plane(view) if view else None

    def views(self):
        return self.lib.tokenheap_planes_views(self.handle)

    def close(self):
        self.lib.tokenheap_planes_close(self.handle)


def load(path):
    lib = ctypes.CDLL(str(path))
    lib.tokenheap_planes_open.restype = ctypes.c_void_p
    lib.tokenheap_planes_open.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t)]
    lib.tokenheap_planes_view.restype = ctypes.c_void_p
    lib.tokenheap_planes_view.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_ssize_t, ctypes.c_int]
    lib.tokenheap_planes_views.restype = ctypes.c_size_t
    for name in ("views", "fill", "close"):
        getattr(lib, "tokenheap_planes_" + name).argtypes = [ctypes.c_void_p]
    return lib


def expected(np, layer, plane, by_head):
    """The numbers of a plane, told from the axes alone."""
    b, t, h, n = np.indices((BLOCKS, TOKENS, HEADS, SIZE))
    all_of = (b * 31 + layer * 17 + plane * 101 + t * 7 + h * 3 + n) % 251
    return all_of.transpose(0, 2, 1, 3) if by_head else all_of


def with_numpy(np, lib):
    """Returns how many views were read."""
    count = 0
    for kind in ("float32", "float16"):
        for by_head in (0, 1):
            pool = Pool(lib, kind, by_head)
            for layer in range(LAYERS):
                for plane in (0, 1):
                    seen = np.from_dlpack(pool.plane(layer, plane))
                    assert seen.dtype == kind and np.array_equal(seen, expected(np, layer, plane, by_head))
                    one = np.from_dlpack(pool.plane(layer, plane, 7))
                    assert np.array_equal(one, seen[7]) and one.ctypes.data == seen[7].ctypes.data
                    one[1, 1, 3] = 250  # a write through one view is read through the other
                    assert seen[7, 1, 1, 3] == 250
                    count += 2
                    assert pool.views() == 2
                    del one, seen
            assert pool.views() == 0, "a view that ended is still counted"
            assert pool.plane(LAYERS, 0) is None and pool.plane(0, 2) is None
            last = np.from_dlpack(pool.plane(1, 1, 3, read_only=True))
            assert not last.flags.writeable, "a read-only view can be written"
            pool.close()
            assert np.array_equal(last, expected(np, 1, 1, by_head)[3]), "the pool went before its last view"
            count += 1
    return count


def with_torch(np, torch, lib):
    count = 0
    for kind in TYPES:
        for by_head in (0, 1):
            pool = Pool(lib, kind, by_head)
            for layer in range(LAYERS):
                for plane in (0, 1):
                    seen = torch.from_dlpack(pool.plane(layer, plane))
                    assert seen.dtype == getattr(torch, kind)
                    assert torch.equal(seen.long(), torch.from_numpy(expected(np, layer, plane, by_head).copy()))
                    count += 1
            del seen
            count += attention(torch, pool, kind, by_head)
            assert pool.views() == 0
            pool.close()
    return count


def attention(torch, pool, kind, by_head):
    """Attention that reads a request's scattered blocks by their ids equals that over one contiguous copy, to the last bit."""
    keys, values = (torch.from_dlpack(pool.plane(2, plane)) for plane in (0, 1))
    blocks, length = torch.tensor([5, 23, 0, 11]), 3 * TOKENS + 9
    generator = torch.Generator().manual_seed(29)
    k, v = (torch.randn(HEADS, length, SIZE, generator=generator).to(keys.dtype) for _ in range(2))
    for place, kept in ((keys, k), (values, v)):
        for at in range(length):  # as an engine's own kernel would write it, one token after another
            block = int(blocks[at // TOKENS])
            token = place[block, :, at % TOKENS] if by_head else place[block, at % TOKENS]
            token.copy_(kept[:, at])
    gathered = [(x if by_head else x.transpose(1, 2))[blocks].transpose(0, 1).flatten(1, 2)[:, :length] for x in (keys, values)]
    q = torch.randn(HEADS, 1, SIZE, generator=generator).to(keys.dtype)
    paged = torch.nn.functional.scaled_dot_product_attention(q, *gathered)
    plain = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.equal(paged, plain), (kind, by_head)
    return 2


def row(engine, version, what, views, equal=True):
    print("ROW " + json.dumps({
        "engine": engine, "version": version, "door": "adapt/dlpack.hpp", "what": what, "output": "equal" if equal else "different",
        "allocations": views, "peak_bytes": BLOCKS * LAYERS * 2 * TOKENS * HEADS * SIZE * 4, "engine_peak_bytes": None,
        "waste_percent": 0.0, "engine_waste_percent": None, "overhead_percent": None,
        "note": "allocations are views of a float32 pool's planes; no byte is copied"}))


def main():
    path = pathlib.Path(sys.argv[1]).resolve() / "libtokenheap_dlpack.so"
    if not path.is_file():
        print(f"skipped: no {path}")
        return 77
    try:
        import numpy as np
    except ImportError as reason:
        print(f"skipped: no NumPy here: {reason}")
        return 77
    lib = load(path)
    row("NumPy", np.__version__, "planes of a KV pool by from_dlpack, read and written", with_numpy(np, lib))
    try:
        import torch
    except ImportError as reason:
        print(f"PyTorch is left out: {reason}")
        return 0
    row("PyTorch", torch.__version__, "planes by from_dlpack; attention over scattered blocks", with_torch(np, torch, lib))
    return 0


if __name__ == "__main__":
    sys.exit(main())
