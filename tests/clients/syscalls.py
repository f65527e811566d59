"""strace of a running server: what it wrote, synced and answered, in order."""

import re
import subprocess
import time
from dataclasses import dataclass

LINE = re.compile(r"^(\d+)\s+(.*)$")
CALL = re.compile(r"^(\w+)\((.*)$", re.S)
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$", re.S)
DESCRIPTOR = re.compile(r"^\d+<([^>]*)>")
HEX = re.compile(r"\\x([0-9a-f]{2})")
ATTACHES_WITHIN = 30


@dataclass
class Call:
    name: str
    target: str  # the file or socket that the descriptor stands for
    data: bytes  # what was read or written
    begin: int  # positions in the trace
    end: int
    result: int


class Strace:
    """strace attached to a server for the length of a `with` block."""

    def __init__(self, server, folder, *options):
        self.output = folder / "trace"
        self.command = ["strace", "-f", "-yy", "-xx", "-s", "200000", "-o", str(self.output), *options,
                        "-p", str(server.process.pid)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        line = self.process.stderr.readline()
        assert b"attached" in line, line
        time.sleep(0.2)  # the other threads are attached by now
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=ATTACHES_WITHIN)

    def calls(self):
        return parse(self.output.read_text(errors="replace").splitlines())


def parse(lines):
    """The finished calls of a trace, interrupted ones put together again."""
    calls, open_calls = [], {}
    for position, line in enumerate(lines):
        pid, text = LINE.match(line).groups()
        if text.endswith("<unfinished ...>"):
            open_calls[pid] = (position, text.removesuffix("<unfinished ...>"))
            continue
        begin = position
        if resumed := RESUMED.match(text):
            begin, start = open_calls.pop(pid, (position, f"{resumed.group(1)}("))
            text = start + resumed.group(2)
        if call := CALL.match(text):
            calls.append(_call(call.group(1), call.group(2), begin, position))
    return calls


def _call(name, rest, begin, end):
    arguments, _, result = rest.rpartition(" = ")
    # With -xx even the paths of descriptors are in hex.
    descriptor = DESCRIPTOR.match(arguments)
    target = HEX.sub(lambda m: chr(int(m.group(1), 16)), descriptor.group(1)) if descriptor else ""
    strings = arguments[descriptor.end():] if descriptor else arguments
    data = bytes(int(pair, 16) for pair in HEX.findall(strings))
    number = re.match(r"-?\d+", result)
    return Call(name, target, data, begin, end, int(number.group()) if number else -1)
