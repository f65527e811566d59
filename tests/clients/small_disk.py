"""A file system of a few megabytes, to be filled to its last byte. Mounting takes root, as tests/run's installing does."""

import os
import subprocess
import time

AS_ROOT = [] if os.getuid() == 0 else ["sudo", "-n"]
FREED_WITHIN = 30


class SmallDisk:
    """Mounted on a folder for the length of a `with` block."""

    def __init__(self, folder, megabytes, owner=None):
        self.folder, self.megabytes = folder, megabytes
        self.owner = owner or (os.getuid(), os.getgid())
        self.filler = folder / "filler"

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        options = f"size={self.megabytes}m,mode=0700,uid={self.owner[0]},gid={self.owner[1]}"
        done = subprocess.run([*AS_ROOT, "mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder],
                              capture_output=True, text=True)
        assert done.returncode == 0, f"a small file system cannot be mounted, which takes root: {done.stderr}"
        return self

    def __exit__(self, *_):
        # A process that was just ended may hold it for a moment longer.
        deadline = time.monotonic() + FREED_WITHIN
        while (done := subprocess.run([*AS_ROOT, "umount", self.folder], capture_output=True, text=True)).returncode:
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.1)

    def fill(self):
        """Takes every byte that is left. Whoever frees some meanwhile loses it to the next call."""
        with open(self.filler, "ab", buffering=0) as filler:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    pass

    def free(self):
        self.filler.unlink()
