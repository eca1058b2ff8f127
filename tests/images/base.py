"""The base image of the tests, from Debian's packages, because the tests reach no image registry:
Python and venv.
"""

import platform
import shutil
import subprocess
from pathlib import Path

NAME = "localhost/gpuq-test/python"
PACKAGES = "ca-certificates,python3,python3-venv"


def ensure_base(folder: Path) -> str:
    """The base image of this machine's Debian release, made in `folder` where buildah does not have
    it yet.
    """
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    image = f"{NAME}:{release}"
    if (
        subprocess.run(
            ["buildah", "inspect", "--type", "image", image], capture_output=True
        ).returncode
        != 0
    ):
        root = folder / "root"
        _run(
            "debootstrap",
            "--variant=minbase",
            f"--include={PACKAGES}",
            release,
            str(root),
            _mirror(release),
        )
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / leftover)
        _commit(root, image)
        shutil.rmtree(root)
    return image


def _mirror(release: str) -> str:
    """Return where apt takes this release's packages from on this machine."""
    targets = _run(
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)",
        f"Codename: {release}",
        "Component: main",
    )
    return targets.splitlines()[0]


def _commit(root: Path, image: str) -> None:
    container = _run("buildah", "from", "scratch").strip()
    _run("buildah", "copy", "--quiet", container, str(root), "/")
    _run(
        "buildah",
        "config",
        "--env",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        container,
    )
    _run("buildah", "commit", "--quiet", "--rm", container, image)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
