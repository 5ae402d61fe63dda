"""What the checks of this tree share: where its headers are, their floors, and source text without comments."""

import pathlib
import re
import sys

FLOORS = {
    "core": 0, "concepts": 1, "policy": 2, "source": 3, "device": 3, "alloc": 4, "kv": 5,
    "plan": 6, "observe": 6, "check": 6, "adapt": 7,
}
UMBRELLA = "tokenheap.hpp"
# they need a toolkit or a third party, so neither the umbrella nor a plain compiler takes them
NEEDS_MORE = re.compile(r"^((source|device)/cuda[^/]*\.hpp|adapt/.*|plan/.*|observe/nvtx_trace\.hpp"
                        r"|kv/(tier_redis|redis_reply|redis_connection|redis_servers|file_ring)\.hpp)$")
CUDA = re.compile(r"^(source|device)/cuda[^/]*\.hpp$")
HIREDIS = re.compile(r"^kv/(tier_redis|redis_reply|redis_connection|redis_servers)\.hpp$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def headers(root):
    """Every header below include/tokenheap, as (path, name such as 'alloc/arena.hpp')."""
    top = pathlib.Path(root) / "include" / "tokenheap"
    return [(path, path.relative_to(top).as_posix()) for path in sorted(top.rglob("*")) if path.suffix in (".hpp", ".h")]


def plain_headers(root):
    return [(path, name) for path, name in headers(root) if not NEEDS_MORE.match(name)]


def compilable_headers(root):
    """The plain ones, and those whose third party is installed here."""
    here = any(pathlib.Path(top, "hiredis/hiredis.h").is_file() for top in ("/usr/include", "/usr/local/include"))
    return [(path, name) for path, name in headers(root) if not NEEDS_MORE.match(name) or (here and HIREDIS.match(name))]


def without_comments(text, keep_strings=False):
    """The text with comments (and string literals) blanked; lines keep their numbers."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)

    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token if keep_strings else token[0] + token[-1]
        return re.sub(r"[^\n]", " ", token)

    return pattern.sub(blank, text)


def includes(path):
    """(line number, kind '<' or '\"', name) of each include."""
    found = []
    for number, line in enumerate(without_comments(path.read_text(), keep_strings=True).splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            found.append((number, match.group(1), match.group(2)))
    return found


def finish(name, problems, summary):
    """Prints what a check found and ends with its status."""
    for problem in problems:
        print(problem)
    print(f"{name}: {summary}" if not problems else f"{name}: {len(problems)} problems")
    sys.exit(1 if problems else 0)
