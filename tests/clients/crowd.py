"""Threads that last as long as a `with` block; what they fail by is kept for the test to look at."""

import threading


class Crowd:
    def __init__(self):
        self.stopped, self.faults, self.threads = threading.Event(), [], []

    def add(self, job, argument):
        """A thread more, for the block to come. The job ends soon after `stopped` is set."""
        self.threads.append(threading.Thread(target=self._guarded, args=(job, argument)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _guarded(self, job, argument):
        try:
            job(argument)
        except BaseException as fault:
            self.faults.append(fault)
