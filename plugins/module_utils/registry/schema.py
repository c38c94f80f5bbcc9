# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of the state database: forward only, each entry of MIGRATIONS leads from one version to the next.

To change the schema append a tuple of statements and touch nothing above it. The version (`PRAGMA user_version`) is the
number of entries that were applied; all that are missing are applied in one transaction.
"""

from __future__ import annotations

CREDENTIALS = (
    # datastores: a JSON list of names, [] when they are matched live; password: ciphertext (cipher.py);
    # created, updated: UTC, ISO 8601
    """
    CREATE TABLE credential (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hostname TEXT NOT NULL,
        port INTEGER NOT NULL,
        username TEXT NOT NULL,
        filesystem TEXT NOT NULL,
        datastores TEXT NOT NULL,
        validate_certs INTEGER NOT NULL,
        ca_path TEXT,
        thumbprint TEXT,
        password TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        UNIQUE (hostname, port, username, filesystem)
    )
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (CREDENTIALS,)
