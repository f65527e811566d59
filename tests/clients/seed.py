"""Certificates by the hundred thousand, past the issuance: copies of a real one, each with an id, a serial number, a
fingerprint and a key of its own. Beside a running server, as another process of the same database."""

import os
import time

ID, SERIAL, FINGERPRINT, KEY, NAME = "id", "serial", "fingerprint_sha256", "spki_sha256", "common_name"
AT_ONCE = 5000


def ordered_id(milliseconds, number):
    """A UUID of version 7 (RFC 9562, 5.7), in order within its millisecond."""
    tail = (0x7 << 76) | ((number & 0xFFF) << 64) | (0b10 << 62) | (int.from_bytes(os.urandom(8)) >> 2)
    return ((milliseconds << 80) | tail).to_bytes(16)


def copies(server, certificate_id, count, name=lambda number: f"device-{number:07}", issued_before=60):
    """Makes so many copies, issued some seconds ago; gives their ids as the API writes them, in order."""
    connection = server.database(writable=True)
    of = bytes.fromhex(certificate_id.replace("-", ""))
    asked = connection.execute("SELECT * FROM certificates WHERE id = ?", [of])
    columns, [original] = [column[0] for column in asked.description], asked.fetchall()
    original = dict(zip(columns, original))
    insert = f"INSERT INTO certificates ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    began = int((time.time() - issued_before) * 1000)
    ids = [ordered_id(began + number // 1000, number % 1000) for number in range(count)]
    for start in range(0, count, AT_ONCE):
        rows = []
        for number in range(start, min(start + AT_ONCE, count)):
            own = {ID: ids[number], SERIAL: b"\x10" + os.urandom(15), FINGERPRINT: os.urandom(32), KEY: os.urandom(32),
                   NAME: name(number)}
            rows.append([{**original, **own}[column] for column in columns])
        connection.execute(server.store.begin)
        connection.executemany(insert, rows)
        connection.execute("UPDATE certificate_counters SET total = total + ? WHERE zone_id = ? AND status = ?",
                           [len(rows), original["zone_id"], original["status"]])
        connection.execute("COMMIT")
    connection.close()
    return [written(one) for one in ids]


def written(identifier):
    text = identifier.hex()
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])
