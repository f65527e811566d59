"""The README's tour does what it says: its own lines, run by a shell."""

import os
import pathlib
import re
import subprocess

import pytest

import server as server_module

README = pathlib.Path(__file__).parents[2] / "README.md"


def shell_blocks(title):
    """The `sh` blocks of one section, in order."""
    section = README.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.S)


@pytest.mark.timeout(180)
def test_the_three_minutes_are_as_they_are_told(server, tmp_path):
    issue, rely, revoke = shell_blocks("Three minutes")
    port = str(server_module.free_port())
    # The binary and the server under test in place of the reader's own.
    issue = re.sub(r"^export PATH=.*$", "", issue, flags=re.M)
    lines = "\n".join(["set -eu", issue, rely.replace("8443", port), "echo ==revoke", revoke.replace("8443", port)])
    binary = pathlib.Path(server_module.BINARY)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "countersign").symlink_to(binary)
    environment = server.environment(
        COUNTERSIGN_URL=server.url, COUNTERSIGN_TOKEN=server.token,
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}:/usr/sbin")
    try:
        done = subprocess.run(
            ["bash", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150, check=False)
    finally:
        pid = tmp_path / "nginx.pid"
        if pid.exists():
            subprocess.run(["kill", pid.read_text().strip()], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = done.stdout.split("==revoke")
    assert "device-1.pem: OK" in before
    assert before.count("hello CN=device-1") == 1
    refused, accepted = after.split("hello CN=device-1")
    assert "400" in refused and "hello" not in refused + accepted


def test_ocsp_is_asked_as_it_is_told(server, tmp_path):
    [ask] = shell_blocks("OCSP: asking about one certificate")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "countersign").symlink_to(pathlib.Path(server_module.BINARY))
    environment = server.environment(
        COUNTERSIGN_URL=server.url, COUNTERSIGN_TOKEN=server.token, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    lines = f"set -eu\ncountersign issue --common-name device-1\n{ask}"
    done = subprocess.run(
        ["bash", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "device-1.pem: good" in done.stdout and "Response verify OK" in done.stderr


def test_the_first_lines_name_commands_that_exist():
    text = README.read_text()
    assert "cargo run --release" in text and "tests/run" in text
    helped = subprocess.run([server_module.BINARY, "--help"], capture_output=True, text=True, timeout=30, check=True).stdout
    named = set(re.findall(r"(?:^|`)countersign (\w+)", text, re.M))
    assert {"issue", "healthcheck"} <= named
    for command in named:
        assert re.search(rf"^\s+{command}\s", helped, re.M), command
    for program in re.findall(r"`((?:deploy|tests)/[\w./-]+)", text):
        assert (README.parent / program).exists(), program
