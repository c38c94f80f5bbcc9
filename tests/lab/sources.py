# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the Debian archive of this machine from its apt configuration, so that the lab does not hard-code one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Mapping

from .commands import output
from .places import LabError

APT = Path("/etc/apt")
# The options in the apt configuration that affect how an archive is accessed and verified.
REACHING = re.compile(r"^Acquire::(http|https|Check|Retries|ForceIPv|tor)", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One suite of an archive. `options` is the bracketed text of apt, e.g. `[signed-by=/path]`, or empty."""

    uri: str
    suite: str
    options: str

    def line(self, components: str) -> str:
        return " ".join(filter(None, ["deb", self.options, self.uri, self.suite, components]))


def _from_one_line(text: str) -> Iterator[tuple[Source, list[str]]]:
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(\[[^\]]*\])?\s*(\S+)\s+(\S+)\s+([^#]*)", line)
        if found:
            yield Source(found[2], found[3], found[1] or ""), found[4].split()


def _fields(stanza: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and name:
            fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, _unused, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _from_stanzas(text: str) -> Iterator[tuple[Source, list[str]]]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        options = []
        signed_by = fields.get("signed-by", "")
        if signed_by.startswith("/"):
            options.append(f"signed-by={signed_by}")
        if fields.get("trusted", "").lower() == "yes":
            options.append("trusted=yes")
        bracketed = f"[{' '.join(options)}]" if options else ""
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, bracketed), fields.get("components", "").split()


def machine_release() -> str:
    """Return the code name of the Debian release of the machine, e.g. `bookworm`."""
    known = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    if known.get("ID", "").strip('"') != "debian" or not known.get("VERSION_CODENAME"):
        raise LabError(
            "The lab is built from Debian's packages and this machine is not a Debian release; use Debian 12 or later"
        )
    return known["VERSION_CODENAME"].strip('"')


def archive_sources(release: str) -> list[Source]:
    """Return the configured sources for the release (with updates and security), starting with the release itself."""
    found: list[tuple[Source, list[str]]] = []
    for path in [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*"))]:
        if path.suffix == ".list" and path.is_file():
            found += _from_one_line(path.read_text())
        elif path.suffix == ".sources" and path.is_file():
            found += _from_stanzas(path.read_text())
    suites = (release, f"{release}-updates", f"{release}-security")
    sources = [source for source, components in found if source.suite.strip("/") in suites and "main" in components]
    sources = sorted(dict.fromkeys(sources), key=lambda source: suites.index(source.suite.strip("/")))
    if not sources or sources[0].suite.strip("/") != release:
        raise LabError(
            f"apt on this machine has no source for Debian {release} main; add one to {APT / 'sources.list'}"
        )
    return sources


def reaching_options() -> list[str]:
    """Return the apt options that are required to access the archive, such as proxies, as `Name "value"` lines."""
    dump = output(["apt-config", "dump"])
    return [line for line in dump.splitlines() if REACHING.match(line) and not line.endswith('"";')]
