#!/usr/bin/env python3
"""The C interface as other languages see it: its symbols, its structs, and an engine's loop by ctypes.

    abi.py LIBRARY INCLUDE_DIR     LIBRARY is libtokenheap_c.so, INCLUDE_DIR has tokenheap/adapt/c.h

Exits with 77 where there is no `nm` to read symbols with.
"""

import ctypes
import pathlib
import random
import re
import shutil
import subprocess
import sys

from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

VERSION = 1
PLAIN = {"uint32_t": c_uint32, "int32_t": c_int32, "uint64_t": c_uint64, "size_t": c_size_t, "double": ctypes.c_double,
         "int": ctypes.c_int, "th_status": ctypes.c_int}
# structs that cross by value or in rows: they never change, and carry no size
ROWS = {"th_allocation", "th_hash", "th_block_name", "th_block_span"}
# what is asked about the interface itself answers with a text or a number
OWN_ANSWERS = {"th_version", "th_status_text", "th_status_code", "th_last_error", "th_clear_error"}


def headers(include):
    """All text of the public headers as a compiler sees it, without comments."""
    seen = set()

    def read(name):
        if name in seen:
            return ""
        seen.add(name)
        text = (pathlib.Path(include) / name).read_text()
        return re.sub(r"#include <(tokenheap/[^>]+)>", lambda found: read(found[1]), text)

    return re.sub(r"//[^\n]*|/\*.*?\*/", "", read("tokenheap/adapt/c.h"), flags=re.S)


def declared(text):
    """name -> what it returns."""
    found = re.findall(r"TOKENHEAP_C_API\s+((?:const\s+)?\w+\s*\*?)\s*(th_\w+)\s*\(", text)
    return {name: answer.replace(" ", "") for answer, name in found}


def exported(library):
    out = subprocess.run([shutil.which("nm") or "nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
    return {line.split()[-1].split("@")[0] for line in out.stdout.splitlines() if line.strip()}


def structs(text):
    """name -> ctypes.Structure, in the order of their declaration."""
    made = {}
    functions = set(re.findall(r"typedef\s+[\w\s*]+\(\*(\w+)\)", text))
    for name, body in re.findall(r"typedef\s+struct\s+(\w+)\s*\{(.*?)\}\s*\w+\s*;", text, re.S):
        fields = []
        for line in filter(None, (part.strip() for part in body.split(";"))):
            kind, star, names = re.fullmatch(r"(?:const\s+)?(\w+)\s*(\*?)\s*(\w+(?:,\s*\w+)*)", line).groups()
            base = c_char_p if star and kind == "char" else c_void_p if star or kind in functions else made.get(kind) or PLAIN[kind]
            fields += [(field, base) for field in re.split(r",\s*", names)]
        made[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    return made


def check_interface(text, library):
    functions, symbols = declared(text), exported(library)
    assert functions and set(functions) == symbols, f"declared and not exported, or the other way: {set(functions) ^ symbols}"
    handles = {name + "*" for name in re.findall(r"typedef\s+struct\s+(\w+)\s+\w+\s*;", text)}
    for name, answer in functions.items():
        assert answer == "th_status" or answer in handles or name in OWN_ANSWERS, f"{name} returns {answer}"
    for name, kind in structs(text).items():
        first = [field for field, _ in kind._fields_[:2]]
        if name in ROWS:
            assert first != ["size", "version"], name
            continue
        assert first == ["size", "version"] and ctypes.sizeof(kind) % 8 == 0, name
        end = 0
        for field, of in kind._fields_:  # no hole: a field that is added never lies in padding of an older caller
            assert getattr(kind, field).offset == end, f"{name}.{field} leaves a hole"
            end += ctypes.sizeof(of)
        assert end == ctypes.sizeof(kind), name
    return functions


class Library:
    """The library by ctypes; a refusal is an exception with its text."""

    def __init__(self, path, text):
        self.functions, self.structs = declared(text), structs(text)
        self.lib = ctypes.CDLL(path)
        for name, answer in self.functions.items():
            kind = ctypes.c_int if answer == "th_status" else c_char_p if answer == "constchar*" else c_uint32
            getattr(self.lib, name).restype = c_void_p if answer.endswith("*") and kind is not c_char_p else kind
        self.lib.th_clear_error.restype = None

    def new(self, kind_name, /, **fields):
        kind = self.structs[kind_name]
        return kind(size=ctypes.sizeof(kind), version=VERSION, **fields)

    def __getattr__(self, name):
        call = getattr(self.lib, "th_" + name)
        answer = self.functions["th_" + name]

        def run(*arguments):
            got = call(*arguments)
            if (answer == "th_status" and got != 0) or (answer.endswith("*") and answer != "constchar*" and not got):
                raise RuntimeError(self.lib.th_last_error().decode())
            return got

        return run


def first_parameters(text):
    """name -> the type of what a function takes first."""
    found = re.findall(r"TOKENHEAP_C_API\s+(?:const\s+)?\w+\s*\*?\s*(th_\w+)\s*\(\s*(?:const\s+)?(\w+)\s*(\*?(?:\s*const\s*\*)?)", text)
    return {name: kind + star for name, kind, star in found}


def never_crash(th, text):
    """Each function with nothing, with handles of every wrong kind, and with structs of size 0: an answer, and not th_ok."""
    handles = {name + "*" for name in re.findall(r"typedef\s+struct\s+(\w+)\s+\w+\s*;", text)}
    source = c_void_p(th.source_open(None))
    closed = c_void_p(th.source_open(None))
    th.source_close(closed)
    zeros = ctypes.create_string_buffer(4096)
    nothing = [c_void_p(0)] * 9
    for name, kind in first_parameters(text).items():
        call, opens = getattr(th.lib, name), th.functions[name] in handles
        if name in OWN_ANSWERS:
            continue
        if kind in handles:
            for handle in (None, closed, c_void_p(0xdeadbeef), c_void_p(2**64 - 1), zeros, source):
                if handle is source and kind == "th_source*":
                    continue
                for rest in (nothing, [zeros] * 9, [c_size_t(1)] + nothing):
                    if name == "th_source_deallocate" and rest[0] is zeros:
                        continue
                    before = th.lib.th_clear_error()
                    answer = call(handle, *rest)
                    assert (not answer) if opens else answer != 0, (name, handle, before)
                    assert th.lib.th_last_error() or name == "th_last_failure", name
        else:
            opened = call(*nothing)  # no options: all defaults, and a handle where these are enough
            if opens and opened:
                close = getattr(th.lib, th.functions[name].rstrip("*") + "_close")
                assert close(c_void_p(opened)) == 0, name
            assert not call(zeros, *nothing) if opens else call(zeros, *nothing) != 0, name
    th.source_close(source)


def refused(call, *arguments):
    try:
        call(*arguments)
    except RuntimeError as why:
        return str(why)
    raise AssertionError("was not refused")


def tokens(values):
    return (c_uint32 * len(values))(*values)


def serve(th, seed):
    """Random requests that share prefixes: the numbers of the pool add up after each of them, and nothing is lost."""
    rng = random.Random(seed)
    pool = c_void_p(th.pool_open(byref(th.new("th_pool_options", blocks=64, name=b"served", index=seed % 2))))
    stats, own = th.new("th_pool_stats"), th.new("th_sequence_stats")
    systems = [[rng.randrange(1000) for _ in range(40)] for _ in range(3)]
    running, refusals = [], 0
    for _ in range(2000):
        if running and rng.random() < 0.5:
            request = rng.choice(running)
            if rng.random() < 0.2:
                running.remove(request)
                th.sequence_close(request)
            else:
                try:
                    th.sequence_append(request, tokens([rng.randrange(1000)]), c_size_t(1))
                except RuntimeError as why:
                    assert "pool 'served': out of memory" in str(why), why
                    refusals += 1
                    running.remove(request)
                    th.sequence_close(request)
        else:
            prompt = rng.choice(systems) + [rng.randrange(1000) for _ in range(rng.randrange(60))]
            try:
                request = c_void_p(th.sequence_open(pool, tokens(prompt), c_size_t(len(prompt)), None))
            except RuntimeError as why:
                assert "need " in str(why) and "limit 64" in str(why) and "fix: " in str(why), why
                refusals += 1
                continue
            th.sequence_stats_of(request, byref(own))
            assert own.tokens == len(prompt) and own.cached_tokens < len(prompt) and own.cached_tokens % 16 == 0
            th.sequence_publish(request, c_size_t(len(prompt)))
            running.append(request)
        th.pool_stats_of(pool, byref(stats))
        held = stats.free_blocks + stats.cached_blocks + stats.live_blocks + stats.in_flight_blocks
        assert held == stats.total_blocks == 64, f"seed {seed}"
    th.pool_is_valid(pool)
    assert refusals and stats.reused_tokens > stats.asked_tokens // 10, f"seed {seed}: {refusals}, {stats.reused_tokens}"
    assert "in use" in refused(th.pool_close, pool)
    for request in running:
        th.sequence_close(request)
        assert "stale handle" in refused(th.sequence_close, request)
    th.pool_close(pool)


def memory_of_python(th):
    """A pool over memory that functions of Python's own give."""
    kept = {}
    give_type = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t)
    take_type = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_size_t)

    def give(_, size, alignment):
        room = ctypes.create_string_buffer(size + alignment)
        at = (ctypes.addressof(room) + alignment - 1) // alignment * alignment
        kept[at] = room
        return at

    give_call, take_call = give_type(give), take_type(lambda _, data, size: kept.pop(data) and None)
    source = c_void_p(th.source_open(byref(th.new("th_source_options", kind=3, name=b"python", limit=1 << 20,
                                                   allocate=ctypes.cast(give_call, c_void_p),
                                                   deallocate=ctypes.cast(take_call, c_void_p)))))
    pool = c_void_p(th.pool_open(byref(th.new("th_pool_options", blocks=8, block_bytes=4096, source=source))))
    assert len(kept) == 1
    block, address = tokens([0]), c_void_p()
    th.pool_allocate(pool, block, c_size_t(1))
    th.pool_address(pool, c_uint32(block[0]), byref(address))
    assert min(kept) <= address.value < min(kept) + 8 * 4096
    ctypes.memset(address, 7, 4096)
    assert "bytes under the limit" in refused(th.pool_open, byref(th.new("th_pool_options", blocks=512, block_bytes=4096,
                                                                        source=source)))
    th.pool_deallocate(pool, block, c_size_t(1))
    assert "double free" in refused(th.pool_deallocate, pool, block, c_size_t(1))
    th.pool_close(pool)
    assert not kept
    th.source_close(source)


def main():
    library, include = sys.argv[1], sys.argv[2]
    if shutil.which("nm") is None:
        print("no nm: install binutils")
        sys.exit(77)
    text = headers(include)
    functions = check_interface(text, library)
    th = Library(library, text)
    for seed in (1, 2):
        serve(th, seed)
    memory_of_python(th)
    never_crash(th, text)
    print(f"c_abi: {len(functions)} functions are declared and exported; loops by ctypes are served")


if __name__ == "__main__":
    main()
