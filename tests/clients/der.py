"""Just enough DER to write requests that no tool is willing to write."""

import base64

SUBJECT_ATTRIBUTES = {
    "CN": "2.5.4.3", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "O": "2.5.4.10", "OU": "2.5.4.11",
    "DC": "0.9.2342.19200300.100.1.25",
}
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
SUBJECT_ALT_NAME = "2.5.29.17"
BASIC_CONSTRAINTS = "2.5.29.19"


def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 0x80:
        length = bytes([len(body)])
    else:
        size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
        length = bytes([0x80 | len(size)]) + size
    return bytes([tag]) + length + body


def sequence(*parts):
    return tlv(0x30, *parts)


def set_of(*parts):
    return tlv(0x31, *parts)


def integer(number):
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def boolean(value):
    return tlv(0x01, b"\xff" if value else b"\x00")


def null():
    return tlv(0x05)


def bit_string(data):
    return tlv(0x03, b"\x00", data)


def octet_string(data):
    return tlv(0x04, data)


def utf8(text):
    return tlv(0x0C, text if isinstance(text, bytes) else text.encode())


def printable(text):
    return tlv(0x13, text.encode())


def ia5(text):
    return tlv(0x16, text.encode())


def context(number, *parts, constructed=True):
    return tlv((0xA0 if constructed else 0x80) | number, *parts)


def oid(dotted):
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    encoded = bytearray()
    for arc in [first * 40 + second, *rest]:
        group = [arc & 0x7F]
        while arc := arc >> 7:
            group.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(group))
    return tlv(0x06, bytes(encoded))


def attribute(kind, value):
    """One AttributeTypeAndValue; a `bytes` value is taken as ready DER."""
    return sequence(oid(SUBJECT_ATTRIBUTES.get(kind, kind)), value if isinstance(value, bytes) else utf8(value))


def name(*rdns):
    """A Name from RDNs, each a `(kind, value)` pair or a list of pairs (a multi-valued RDN)."""
    encoded = []
    for rdn in rdns:
        pairs = rdn if isinstance(rdn, list) else [rdn]
        encoded.append(set_of(*sorted(attribute(kind, value) for kind, value in pairs)))
    return sequence(*encoded)


def extension(dotted, value, critical=False):
    return sequence(oid(dotted), *([boolean(True)] if critical else []), octet_string(value))


def extension_request(*extensions):
    return sequence(oid(EXTENSION_REQUEST), set_of(sequence(*extensions)))


def request_info(subject, spki, *attributes, version=0):
    return sequence(integer(version), subject, spki, context(0, *attributes))


def request(info, algorithm, signature):
    return sequence(info, algorithm, bit_string(signature))


def dns_names(*names):
    return sequence(*(context(2, n if isinstance(n, bytes) else n.encode(), constructed=False) for n in names))


def split(encoded):
    """The content of the outermost value, as a list of its members' complete encodings."""
    _, start, end = _header(encoded, 0)
    members = []
    while start < end:
        _, _, stop = _header(encoded, start)
        members.append(encoded[start:stop])
        start = stop
    return members


def content(encoded):
    """The content of the outermost value."""
    _, start, end = _header(encoded, 0)
    return encoded[start:end]


def _header(encoded, at):
    tag, length, start = encoded[at], encoded[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(encoded[start:start + size], "big"), start + size
    return tag, start, start + length


def pem(der, label="CERTIFICATE REQUEST"):
    lines = base64.encodebytes(der).decode().replace("\n", "")
    wrapped = "\n".join(lines[i:i + 64] for i in range(0, len(lines), 64))
    return f"-----BEGIN {label}-----\n{wrapped}\n-----END {label}-----\n"


def of_pem(text):
    """The DER of one PEM block."""
    return base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-----")))
