"""Requests over TLS: only to who has a certificate that is trusted, and nothing of them to anybody else."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from agent_talk import HELLO
from raw_server import reply

if TYPE_CHECKING:
    from pathlib import Path

# Of 127.0.0.1, by itself, for a century: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes
# -days 36500 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1`. It guards nothing.
CERTIFICATE = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg59gMR9xapI/FUlid
a+G9Hkr0QA6PBtaDdlnDs4ZE8MyhRANCAASHi12j1WLSEf+ZQ62f0ONLzK8igvKT
DYoTjAepY5yArsflP/nN3EWSi4FHJJ05MEHyKH8fdbgODrqLR2esI4HF
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIUKuMCBGnHGB4g0ClxReyMMq+D8fIwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyOTAxNTEzMFoYDzIxMjYxMTA1
MDE1MTMwWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASHi12j1WLSEf+ZQ62f0ONLzK8igvKTDYoTjAepY5yArsflP/nN3EWS
i4FHJJ05MEHyKH8fdbgODrqLR2esI4HFo2QwYjAdBgNVHQ4EFgQUu/MmK06jglVe
gI5ewfXKYaFJEDswHwYDVR0jBBgwFoAUu/MmK06jglVegI5ewfXKYaFJEDswDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUC
IBQKXDHLFMt5/dkcG3JGbQFuv3iWtGbpRq389DkUlLqBAiEAzrMruRsHoMEcrwVC
x90RgM7v+8NBh3kXQYupLLYvmzw=
-----END CERTIFICATE-----
"""
ASK = """
import asyncio, sys, rolecore
async def main():
    async with rolecore.OpenAIAgent(base_url=sys.argv[1], model="m", max_retries=0) as agent:
        print(await agent.ainvoke("hi"), await agent.ainvoke("hi"))
asyncio.run(main())
"""


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("host", "is_trusted"), [("127.0.0.1", False), ("127.0.0.1", True), ("localhost", True)])
def test_request_goes_only_to_whose_certificate_is_trusted(tmp_path: Path, host: str, is_trusted: bool) -> None:  # noqa: FBT001
    path = tmp_path / "certificate.pem"
    path.write_text(CERTIFICATE, encoding="ascii")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            asked.append(await reader.readexactly(length))
            writer.write(reply(HELLO))

    async def main() -> subprocess.CompletedProcess[str]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            url = f"https://{host}:{server.sockets[0].getsockname()[1]}/v1"
            # A process of its own, as certificates are read once.
            env = {**os.environ, "SSL_CERT_FILE": str(path) if is_trusted else os.devnull}
            command = [sys.executable, "-c", ASK, url]
            return await asyncio.to_thread(
                subprocess.run, command, env=env, check=False, capture_output=True, text=True
            )

    run = asyncio.run(main())
    if is_trusted and host == "127.0.0.1":
        assert run.stdout == "hello hello\n"
        assert [json.loads(body)["model"] for body in asked] == ["m", "m"]
    else:
        assert run.stderr.splitlines()[-1].startswith(
            "rolecore.errors.APIConnectionError: no whole reply from https://"
        )
        assert "CertificateError" in run.stderr
        assert asked == []
