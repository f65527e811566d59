"""Packs a screenshot: a page has few colours, so a picture of it needs one octet for a pixel and no more (PNG, 11.2.3)."""

import collections
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256
RGB, RGBA, PALETTE = 2, 6, 3


def pack(picture):
    """A PNG of 8-bit RGB or RGBA, without an alpha that matters, as one with a palette."""
    chunks = list(read(picture))
    width, height, depth, kind, *_ = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    assert depth == 8 and kind in (RGB, RGBA), "not a screenshot of Chromium"
    size = 3 if kind == RGB else 4
    data = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
    rows = unfiltered(data, width * size, size)
    pixels = [[row[at:at + 3] for at in range(0, len(row), size)] for row in rows]
    used = collections.Counter(pixel for row in pixels for pixel in row)
    shown = [colour for colour, _ in used.most_common(COLOURS)]
    # The rest are the edges of letters: the nearest of those that are often there.
    place = {colour: index for index, colour in enumerate(shown)}
    for colour in used.keys() - place.keys():
        place[colour] = min(range(len(shown)), key=lambda index: sum((a - b) ** 2 for a, b in zip(colour, shown[index])))
    packed = b"".join(b"\0" + bytes(place[pixel] for pixel in row) for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, PALETTE, 0, 0, 0)
    written = [(b"IHDR", header), (b"PLTE", b"".join(shown)), (b"IDAT", zlib.compress(packed, 9)), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(name, body) for name, body in written)


def read(picture):
    assert picture.startswith(SIGNATURE)
    at = len(SIGNATURE)
    while at < len(picture):
        length, name = struct.unpack_from(">I4s", picture, at)
        yield name, picture[at + 8:at + 8 + length]
        at += length + 12


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def unfiltered(data, stride, size):
    """The rows of a picture without the filters that they were written with (PNG, 9.2)."""
    before = bytearray(stride)
    for start in range(0, len(data), stride + 1):
        kind, row = data[start], bytearray(data[start + 1:start + 1 + stride])
        for at in range(stride if kind else 0):
            left = row[at - size] if at >= size else 0
            up, corner = before[at], before[at - size] if at >= size else 0
            row[at] = (row[at] + (0, left, up, (left + up) // 2, paeth(left, up, corner))[kind]) & 0xFF
        yield bytes(row)
        before = row


def paeth(left, up, corner):
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))
