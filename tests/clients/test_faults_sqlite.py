"""The embedded database beside other programs: whoever reads the file and leaves takes nothing with them."""

import subprocess

import integrity
from installation import ONCE
from load import Load

pytestmark = ONCE


def test_programs_that_read_the_file_and_leave_take_nothing_with_them(install, tmp_path):
    """SQLite's last user removes the write-ahead log. Another program must never take itself for that while a server runs,
    which it does when the server has lost its locks on the file."""
    installation = install().start()
    log = installation.server.data / "countersign.db-wal"
    with Load(installation) as load:
        for _ in range(5):
            load.wait_for(10)
            before = log.stat().st_ino
            said = subprocess.run(["sqlite3", installation.database.path, "SELECT COUNT(*) FROM certificates"],
                                  capture_output=True, text=True, timeout=60)
            assert int(said.stdout) >= 10, said.stderr
            assert log.stat().st_ino == before, "the log was removed under the server"
    installation.server.kill()
    installation.server.start()
    integrity.check(installation, load, tmp_path)
