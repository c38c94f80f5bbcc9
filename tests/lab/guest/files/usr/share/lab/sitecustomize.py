# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Python of the storage host imports this. It keeps the bytecode of modules that are imported from a zip file.

Ansible sends each task as a zip file of sources, and Python compiles them for each task. Under emulation that takes
seconds. The name of a kept file is a hash of the source, so the same code runs.
"""

from __future__ import annotations

import marshal
import os
import zipimport
from types import CodeType

FOLDER = "/var/cache/lab-bytecode"
_compile = zipimport._compile_source  # type: ignore[attr-defined]


def compile_once(path: str, source: bytes) -> CodeType:
    """Return the code of a module in a zip file, from an earlier import if there was one."""
    from _sha1 import sha1

    name = path.rpartition(".zip/")[2].encode()
    kept = f"{FOLDER}/{sha1(name + bytes(1) + source).hexdigest()}"
    try:
        with open(kept, "rb") as file:
            found: CodeType = marshal.loads(file.read())
        return found
    except (OSError, ValueError, EOFError):
        pass
    code: CodeType = _compile(path, source)
    draft = f"{kept}.{os.getpid()}"
    try:
        with open(draft, "wb") as file:
            file.write(marshal.dumps(code))
        os.rename(draft, kept)
    except OSError:
        pass  # another user than root
    return code


zipimport._compile_source = compile_once  # type: ignore[attr-defined]
