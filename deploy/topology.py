#!/usr/bin/env python3
"""Starts what docker-compose.yml describes, from local binaries instead of images: the same variables, ports, secrets,
health checks, order of start, restarts and nginx.conf. For machines without Docker, and for the tests.

    deploy/topology.py --binary target/release/countersign       until Ctrl-C, which ends everything and leaves nothing

Takes PyYAML, PostgreSQL, nginx, openssl and curl, and Linux, whose whole network 127.0.0.0/8 is this machine: each
service gets an address of its own there and so keeps its port. Host names, and the paths of what compose mounts, are
put in their places; nothing else is changed. What only containers have is missing: read-only roots, limits, networks.
"""

import argparse
import ctypes
import json
import os
import pathlib
import pwd
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
STARTS_WITHIN = 120
RESTARTS_AFTER = 1
PASSED_ON = ("PATH", "TMPDIR", "LANG")
PR_SET_PDEATHSIG = 1


class Ended(Exception):
    """Somebody wants everything stopped."""


class Service:
    """One service of the compose file, on an address of its own."""

    def __init__(self, topology, name, definition, address):
        self.topology, self.name, self.definition, self.address = topology, name, definition, address
        self.folder = topology.folder / name
        self.folder.mkdir(mode=0o755)
        self.process, self.ended_at = None, None
        self.paths = dict(self.mounts())
        variables = {**self.image_variables(), **definition.get("environment", {})}
        self.variables = {key: self.localize(str(value)) for key, value in variables.items()}
        self.variables = {key: value.replace("0.0.0.0", address) for key, value in self.variables.items()}

    image_variables = staticmethod(dict)

    def mounts(self):
        """What is where in the container, and where it is here."""
        for secret in self.definition.get("secrets", []):
            yield f"/run/secrets/{secret}", self.topology.secrets / pathlib.Path(self.topology.secret_files[secret]).name
        for volume in self.definition.get("volumes", []):
            source, target, *_ = volume.split(":")
            yield target, ROOT / source if source.startswith(".") else self.new_folder(f"volume-{source}")
        for mount in self.definition.get("tmpfs", []):
            target = mount.split(":")[0]
            yield target, self.new_folder("tmpfs" + target.replace("/", "-"))

    def new_folder(self, name):
        folder = self.folder / name
        folder.mkdir(mode=0o711)
        return folder

    def localize(self, text):
        """The text with the paths of the container and the names of its neighbours as they are here."""
        for_paths = "|".join(map(re.escape, sorted(self.paths, key=len, reverse=True))) or r"(?!)"
        text = re.sub(rf"(?<![\w./-])({for_paths})(?![\w-])", lambda found: str(self.paths[found[1]]), text)
        names = "|".join(map(re.escape, self.topology.addresses))
        return re.sub(rf"(?<![\w-])({names})(?=:\d)", lambda found: self.topology.addresses[found[1]], text)

    def start(self):
        self.ended_at = None
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in self.command()], env=self.environment(), cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent, **self.account())

    def account(self):
        return {}

    def environment(self):
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {**kept, "HOME": str(self.folder), **self.variables}

    def is_healthy(self):
        kind, *words = self.definition["healthcheck"]["test"]
        assert kind == "CMD", "only health checks of the form CMD are understood"
        words = [self.topology.program(words[0]), *(word.replace("127.0.0.1", self.address) for word in words[1:])]
        asked = subprocess.run(words, env=self.environment(), cwd=self.folder, capture_output=True, timeout=30)
        return asked.returncode == 0

    def wait_healthy(self):
        deadline = time.monotonic() + STARTS_WITHIN
        while not self.is_healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.name} does not become healthy:\n{self.last_words()}")
            time.sleep(0.1)

    def last_words(self):
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-30:])

    def look_after(self):
        """Starts it again after it ended, as Docker does."""
        if self.process is None or self.process.poll() is None:
            return
        now = time.monotonic()
        if self.ended_at is None:
            self.ended_at = now
            print(f"{self.name} ended with {self.process.returncode}", file=sys.stderr, flush=True)
        wants_restart = self.definition.get("restart") in ("always", "unless-stopped", "on-failure")
        if self.topology.restarts and wants_restart and now >= self.ended_at + RESTARTS_AFTER:
            self.start()

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(getattr(signal, self.definition.get("stop_signal", "SIGTERM")))
        try:
            self.process.wait(int(self.definition.get("stop_grace_period", "10s").removesuffix("s")))
        except subprocess.TimeoutExpired:
            print(f"{self.name} did not stop in time, and is killed", file=sys.stderr)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ports(self):
        return [int(port.split(":")[-1]) for port in self.definition.get("ports", [])]


class Countersign(Service):
    image_variables = staticmethod(lambda: dict(dockerfile("ENV")))

    def command(self):
        return [self.topology.binary, *self.definition.get("command", json.loads(dockerfile_line("CMD")))]

    def ports(self):
        return [int(self.variables["COUNTERSIGN_LISTEN"].rsplit(":", 1)[1])]


class Postgres(Service):
    """The database, made anew, the way the image's entry point makes it."""

    def account(self):
        """PostgreSQL refuses to run as root."""
        if os.getuid() != 0:
            return {}
        account = pwd.getpwnam("postgres")
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def command(self):
        data = pathlib.Path(self.variables["PGDATA"])
        if not data.exists():
            self.initialise(data)
        # Sockets have short names only, and nobody needs one.
        here = ["-D", data, "-c", f"listen_addresses={self.address}", "-c", "unix_socket_directories="]
        name, *arguments = self.definition["command"]
        return [self.topology.program(name), *here, *arguments]

    def initialise(self, data):
        password = self.folder / "password"
        shutil.copyfile(self.variables["POSTGRES_PASSWORD_FILE"], password)
        if account := self.account():
            for path in [self.folder, password, *self.folder.glob("*/")]:
                os.chown(path, account["user"], account["group"])
        run = {"check": True, "capture_output": True, "cwd": self.folder, **account}
        user, database = self.variables["POSTGRES_USER"], self.variables["POSTGRES_DB"]
        subprocess.run([self.topology.program("initdb"), "-D", data, "-U", user, "--pwfile", password, "-E", "UTF8",
                        "--locale=C", "--auth=scram-sha-256", "--no-sync"], **run)
        subprocess.run([self.topology.program("postgres"), "--single", "-D", data, "postgres"],
                       input=f'CREATE DATABASE "{database}"\n'.encode(), **run)
        password.unlink()

    def ports(self):
        return [5432]


class Nginx(Service):
    def mounts(self):
        for target, source in super().mounts():
            yield target, source if target != "/etc/nginx/nginx.conf" else self.folder / "nginx.conf"

    def command(self):
        text = self.localize((ROOT / "deploy/nginx.conf").read_text())
        text = re.sub(r"(?m)^(\s*listen )(?=\d+[ ;])", rf"\g<1>{self.address}:", text)
        configuration = self.folder / "nginx.conf"
        configuration.write_text(text)
        return [self.topology.program("nginx"), "-p", self.folder, "-c", configuration, "-e", "stderr",
                *self.definition["command"]]


class Topology:
    def __init__(self, binary, folder, restarts=True):
        self.binary, self.folder, self.restarts = pathlib.Path(binary).resolve(), folder, restarts
        text = (ROOT / "docker-compose.yml").read_text()
        names = list(yaml.safe_load(text)["services"])
        self.addresses = dict(zip(names, free_addresses(len(names))))
        proxy = self.addresses["proxy"]
        file = yaml.safe_load(interpolate(text, {"COUNTERSIGN_PUBLIC_URL": f"http://{proxy}:8080", **os.environ}))
        self.secret_files = {name: secret["file"] for name, secret in file["secrets"].items()}
        self.secrets = folder / "secrets"
        subprocess.run([ROOT / "deploy/make-secrets.sh", "--folder", self.secrets, "--database-host",
                        self.addresses["postgres"], proxy], check=True, stdout=subprocess.DEVNULL)
        self.services = {name: self.service(name, file["services"][name]) for name in names}

    def service(self, name, definition):
        kinds = {"postgres": Postgres, "nginx": Nginx}
        kind = Countersign if "build" in definition else kinds[definition["image"].split(":")[0]]
        return kind(self, name, definition, self.addresses[name])

    def program(self, name):
        if name == "countersign":
            return self.binary
        folders = [*sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin")), "/usr/sbin", "/sbin"]
        found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, folders)]))
        return found or sys.exit(f"{name} is not installed")

    def up(self):
        for name in self.in_order():
            service = self.services[name]
            for other, wish in service.definition.get("depends_on", {}).items():
                assert wish["condition"] == "service_healthy", "only the condition service_healthy is understood"
                self.services[other].wait_healthy()
            service.start()
        for service in self.services.values():
            service.wait_healthy()

    def in_order(self):
        """Their names, each after those that it depends on."""
        done = []
        while len(done) < len(self.services):
            ready = [name for name, service in self.services.items()
                     if name not in done and set(service.definition.get("depends_on", {})) <= set(done)]
            done += ready or sys.exit("the services wait for each other")
        return done

    def watch(self):
        while True:
            for service in self.services.values():
                service.look_after()
            time.sleep(0.1)

    def down(self):
        for name in reversed(self.in_order()):
            self.services[name].stop()

    def description(self):
        services = {name: {"address": service.address, "ports": service.ports(), "pid": service.process.pid,
                           "log": str(service.folder / "log")} for name, service in self.services.items()}
        proxy = self.addresses["proxy"]
        return {"https": f"https://{proxy}:8443", "http": f"http://{proxy}:8080", "secrets": str(self.secrets),
                "services": services}


def die_with_parent():
    """Whatever happens to this script, nothing of it stays."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_addresses(count):
    """Addresses of this machine that nobody uses."""
    while True:
        network = f"127.{random.randint(64, 254)}.{random.randint(0, 254)}"
        addresses = [f"{network}.{last}" for last in range(2, 2 + count)]
        if all(is_free(address, port) for address in addresses for port in (5432, 8080, 8443)):
            return addresses


def is_free(address, port):
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
            return True
        except OSError as error:
            with socket.socket() as listening:
                if listening.connect_ex((f"127.0.0.{random.randint(100, 254)}", port)) == 0:
                    sys.exit(f"port {port} is taken on all addresses of this machine: {error}")
            return False


def interpolate(text, variables):
    """`${NAME:-default}` and `${NAME}`, the two forms that the compose file uses."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda found: variables.get(found[1]) or found[2] or "", text)


def dockerfile_line(instruction):
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(f"{instruction} ")][-1]


def dockerfile(instruction):
    return [word.split("=", 1) for word in shlex.split(dockerfile_line(instruction))]


def stop(number, _frame):
    signal.signal(number, signal.SIG_IGN)
    raise Ended


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", default=ROOT / "target/release/countersign", help="the program (default: the release build)")
    parser.add_argument("--no-restart", action="store_true", help="leave what ended ended, instead of starting it again")
    parser.add_argument("--json", action="store_true", help="print the addresses as one line of JSON, for scripts")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-topology-"))
    folder.chmod(0o711)
    topology = None
    try:
        topology = Topology(arguments.binary, folder, restarts=not arguments.no_restart)
        topology.up()
        print(json.dumps(topology.description()) if arguments.json else told(topology), flush=True)
        topology.watch()
    except Ended:
        pass
    finally:
        if topology:
            topology.down()
        shutil.rmtree(folder, ignore_errors=True)


def told(topology):
    about = topology.description()
    services = "".join(f"  {name:15}{service['address']}  {service['log']}\n" for name, service in about["services"].items())
    return (f"{about['https']}   everything; its certificate is {about['secrets']}/proxy_certificate\n"
            f"{about['http']}    what relying parties fetch\n{services}"
            f"The administrator's token is in {about['secrets']}/bootstrap_token, until Ctrl-C ends it all.\n"
            f"  export COUNTERSIGN_URL={about['https']} COUNTERSIGN_CA_FILE={about['secrets']}/proxy_certificate\n"
            f"  export COUNTERSIGN_TOKEN=$(cat {about['secrets']}/bootstrap_token)\n"
            f"  {topology.binary} issue --common-name my-first-device")


if __name__ == "__main__":
    main()
