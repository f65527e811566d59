"""Two servers on one PostgreSQL database behind nginx, with the configuration that is shipped (deploy/nginx.conf), and what
kills one of them again and again while the tests go on."""

import pathlib
import re
import secrets
import subprocess
import threading
import time

import databases
from server import Server, free_port

CONFIGURATION = pathlib.Path(__file__).parents[2] / "deploy" / "nginx.conf"
LOG = "log_format answers '$status $request_method $uri $http_idempotency_key'; access_log {folder}/access.log answers;"


class Replicas(Server):
    """The deployment as a whole: its address is the proxy's. Each replica has a data folder of its own; the master key is
    the same."""

    # What this run has seen so far, and how far each proxy's log was read for it.
    killed, lost, logs = 0, 0, {}
    # As many as the SDKs can be told to make, with a pause that grows.
    retries = 6

    def __init__(self, folder, token=None, count=2, **settings):
        super().__init__(folder, token=token, store=databases.Postgres(), **settings)
        key = self.folder / "master.key"
        key.write_text(secrets.token_hex(32))
        key.chmod(0o600)
        self.settings |= {"COUNTERSIGN_MASTER_KEY_FILE": str(key), "COUNTERSIGN_PUBLIC_URL": self.url}
        shared = {**self.settings, "COUNTERSIGN_BEHIND_PROXY": "true"}
        own = ("COUNTERSIGN_LISTEN", "COUNTERSIGN_DATA_DIR", "COUNTERSIGN_DATABASE_URL", "COUNTERSIGN_BOOTSTRAP_TOKEN")
        shared = {name: value for name, value in shared.items() if name not in own}
        self.replicas = [Server(self.folder / f"replica-{number}", token=self.token, store=self.store, **shared)
                         for number in range(1, count + 1)]
        self.havoc = None
        self.logs[self.folder / "access.log"] = 0

    def launch(self, **extra):
        """All of them at once: the first start of an empty database too."""
        for replica in self.replicas:
            replica.launch(**extra)
        if not self.alive():
            self.launch_proxy()
        return self

    def launch_proxy(self):
        (self.folder / "nginx.conf").write_text(self.configuration())
        with open(self.folder / "proxy.log", "ab") as log:
            self.process = subprocess.Popen(
                ["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf", "-e", "stderr", "-g", "daemon off;"],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def configuration(self):
        """The shipped one: its paths, addresses and ports put in their places, and in clear."""
        text = CONFIGURATION.read_text().replace("/tmp/", f"{self.folder}/")
        places = iter(replica.port for replica in self.replicas)
        text, found = re.subn(r"server countersign-\d:8080", lambda _: f"server 127.0.0.1:{next(places)}", text)
        assert found == len(self.replicas)
        text, found = re.subn(r"\n *listen 8443 ssl;(\n *ssl_.*)+", f"\n    listen 127.0.0.1:{self.port};", text)
        assert found == 1
        # The second server gives relying parties, in clear, what the first one gives too.
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{free_port()};")
        text = text.replace("access_log off;", LOG.format(folder=self.folder))
        # Its workers write below a folder that is ours alone.
        return "user root;\n" + text

    def wait_ready(self):
        for replica in self.replicas:
            replica.wait_ready()
        super().wait_ready()

    def stop(self):
        """SIGTERM to each replica, and the worst exit code; then the proxy."""
        self.calm()
        codes = [replica.stop() for replica in self.replicas]
        self.stop_proxy()
        return max(codes, key=abs)

    def kill(self):
        self.calm()
        for replica in self.replicas:
            replica.kill()
        self.stop_proxy()

    def stop_proxy(self):
        self.process.terminate()
        self.process.wait(30)

    def clean_up(self):
        if self.havoc:
            self.havoc.stop()
        for replica in self.replicas:
            replica.end()
        if self.alive():
            self.stop_proxy()
        self.store.clean_up()

    def output(self, last=60):
        path = self.folder / "proxy.log"
        proxy = path.read_text(errors="replace").splitlines()[-last:] if path.exists() else []
        return "\n".join([*(replica.output(last) for replica in self.replicas), "--- the proxy", *proxy])

    def wreak_havoc(self):
        """From now on one of them is killed and started again every few seconds."""
        self.havoc = Havoc(self.replicas)
        return self

    def calm(self):
        """Ends that; tells how often it was done, and fails if a replica did not come back."""
        if self.havoc is None:
            return 0
        havoc, self.havoc = self.havoc, None
        havoc.stop()
        assert havoc.faults == [], havoc.faults
        return havoc.kills

    @classmethod
    def unanswered(cls):
        """How many requests a proxy could get no answer to, in this run: nobody knows whether they were carried out."""
        for path in cls.logs:
            if path.exists():
                with open(path) as log:
                    log.seek(cls.logs[path])
                    cls.lost += sum(line[:3] in ("502", "504") for line in iter(log.readline, ""))
                    cls.logs[path] = log.tell()
        return cls.lost


class Havoc:
    """kill -9 of one replica after the other; each is started again while the others serve."""

    UP, DOWN = 3, 0.5

    def __init__(self, replicas):
        self.replicas, self.kills, self.faults = replicas, 0, []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stopped.wait(self.UP):
                victim = self.replicas[self.kills % len(self.replicas)]
                victim.kill()
                self.kills += 1
                Replicas.killed += 1
                time.sleep(self.DOWN)
                victim.start()
        except Exception as fault:  # told by whoever ends this
            self.faults.append(fault)

    def stop(self):
        self._stopped.set()
        self._thread.join(120)
