# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A separate view of the Debian archive for the lab. Only the lab uses contrib and backports, not the machine."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Sequence

from .cache import locked, product, product_path
from .commands import output, run
from .places import LOGS, LabError, cache_root
from .sources import archive_sources, machine_release, reaching_options

# Only these packages and their mutual dependencies come from backports, in the newest release available.
FROM_BACKPORTS = "src:zfs-linux src:qemu src:seabios"
LOG = LOGS / "archive.log"


@dataclass(frozen=True)
class Archive:
    """The index of the archive at the time of the first build. `lab setup --refresh` updates it."""

    folder: Path

    @property
    def sources_list(self) -> Path:
        return self.folder / "sources.list"

    @property
    def preferences(self) -> Path:
        return self.folder / "preferences"

    def options(self, packages_of_machine: bool = False) -> list[str]:
        """Return the apt options for this view. Installed packages count only when installing on the machine."""
        values = {
            "Dir::Etc::SourceList": self.sources_list,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": self.preferences,
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State::Lists": self.folder / "lists",
            "Dir::Cache::PkgCache": "" if packages_of_machine else self.folder / "pkgcache.bin",
            "Dir::Cache::SrcPkgCache": "" if packages_of_machine else self.folder / "srcpkgcache.bin",
            "APT::Install-Recommends": "false",
            "APT::Update::Post-Invoke": "",
            "APT::Update::Post-Invoke-Success": "",
            "Acquire::Languages": "none",
        }
        if not packages_of_machine:
            debs = cache_root() / "debs"
            (debs / "partial").mkdir(parents=True, exist_ok=True)
            values.update(
                {
                    "Dir::State::status": "/dev/null",
                    "Dir::Cache::archives": debs,
                    "APT::Sandbox::User": "",
                    "Debug::NoLocking": "true",
                }
            )
        return [part for name, value in values.items() for part in ("-o", f"{name}={value}")]

    def resolve(self, packages: Sequence[str]) -> list[str]:
        """Return the sorted file names (name_version_architecture.deb) of the packages and their dependencies."""
        return self._remembered(f"files of {' '.join(packages)}", lambda: self._plan(packages))

    def _plan(self, packages: Sequence[str]) -> list[str]:
        # apt omits files that it has already downloaded, so use an empty folder.
        nothing = self.folder / "nothing"
        (nothing / "partial").mkdir(parents=True, exist_ok=True)
        plan = output(
            [
                "apt-get",
                *self.options(),
                "-o",
                f"Dir::Cache::archives={nothing}",
                "install",
                "--yes",
                "--print-uris",
                *packages,
            ]
        )
        return sorted(re.findall(r"^'[^']+' (\S+\.deb) \d+", plan, flags=re.MULTILINE))

    def version(self, package: str) -> str:
        """Return the version of a package that would be installed, e.g. `2.3.2-2~bpo12+2`."""
        return self._field(package, "Version", r"(\S+)")

    def depends(self, package: str, pattern: str) -> str:
        """Return the dependency of `package` whose name matches the pattern, for example of a metapackage."""
        return self._field(package, "Depends", rf".*?\b({pattern})")

    def _field(self, package: str, name: str, pattern: str) -> str:
        def ask() -> list[str]:
            shown = output(["apt-cache", *self.options(), "show", "--no-all-versions", package])
            found = re.search(rf"^{name}: {pattern}", shown, re.MULTILINE)
            if not found:
                raise LabError(
                    f"This machine's Debian archive has no {package} with a usable field {name}; check apt's sources"
                )
            return [found[1]]

        return self._remembered(f"{name} of {package}", ask)[0]

    def _remembered(self, question: str, ask: Callable[[], list[str]]) -> list[str]:
        """Cache the result, because apt takes seconds and the index does not change."""
        answers = self.folder / "answers.json"
        with locked(self.folder / "lock"):
            known: dict[str, list[str]] = json.loads(answers.read_text()) if answers.exists() else {}
            if question not in known:
                known[question] = ask()
                fresh = answers.with_suffix(".new")
                fresh.write_text(json.dumps(known, indent=1))
                fresh.rename(answers)
            return known[question]

    def download(self, packages: Sequence[str], log: Path, alone: bool = False) -> list[Path]:
        """Download the .deb files of the packages, with their dependencies unless `alone` is set."""
        debs = cache_root() / "debs"
        with locked(debs / "lab.lock"):
            if alone:
                run(["apt-get", *self.options(), "download", *packages], log, cwd=debs)
                return [self._newest(debs, package) for package in packages]
            run(["apt-get", *self.options(), "install", "--yes", "--download-only", *packages], log)
        return [debs / name for name in self.resolve(packages)]

    def _newest(self, debs: Path, package: str) -> Path:
        version = self.version(package).replace(":", "%3a")
        return next(iter(debs.glob(f"{package}_{version}_*.deb")))


def _fill(folder: Path, lines: Sequence[str], release: str) -> None:
    (folder / "lists" / "partial").mkdir(parents=True)
    archive = Archive(folder)
    archive.preferences.write_text(
        f"Package: {FROM_BACKPORTS}\nPin: release n={release}-backports\nPin-Priority: 600\n"
    )
    backports = [line for line in lines if f"{release}-backports" in line]
    update = ["apt-get", *archive.options(), "-o", "APT::Update::Error-Mode=any", "update"]
    archive.sources_list.write_text("\n".join(lines) + "\n")
    try:
        run(update, LOG)
    except LabError:
        # An archive may not have backports. The older OpenZFS in contrib of the release is sufficient.
        archive.sources_list.write_text("\n".join(line for line in lines if line not in backports) + "\n")
        run(update, LOG)


def read_archive(refresh: bool = False) -> Archive:
    """Return the archive that apt uses on this machine, plus contrib and backports."""
    release = machine_release()
    sources = archive_sources(release)
    lines = [source.line("main contrib") for source in sources]
    first = sources[0]
    lines.append(first.line("main contrib").replace(f" {first.suite} ", f" {release}-backports "))
    path = product_path("archive", release, *lines, *reaching_options())
    if refresh and path.exists():
        shutil.rmtree(path)
    return Archive(product(path, lambda folder: _fill(folder, lines, release)))


def unpack(debs: Sequence[Path], folder: Path, log: Path) -> None:
    """Unpack packages into a folder without running their scripts, and merge the top-level folders into /usr."""
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"usr/{name}")
    for deb in debs:
        run(
            [
                "sh",
                "-c",
                'dpkg-deb --fsys-tarfile "$1" | tar -C "$2" -x --keep-directory-symlink --no-same-owner',
                "unpack",
                str(deb),
                str(folder),
            ],
            log,
        )
