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

JOURNAL = (
    # snapshots: JSON list of dataset@name; state: see state/journal.py; started, ended: UTC, ISO 8601; result:
    # JSON
    """
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        task TEXT NOT NULL,
        dataset TEXT NOT NULL,
        snapshots TEXT NOT NULL,
        state TEXT NOT NULL,
        started TEXT NOT NULL,
        ended TEXT NOT NULL DEFAULT '',
        result TEXT NOT NULL DEFAULT '{}'
    )
    """,
    # One row per VMware snapshot; vm, snapshot: managed object IDs; name: the VMware snapshot's. No foreign key to run:
    # recovery also enters what it finds in vSphere after a database was lost.
    """
    CREATE TABLE vm_snapshot (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,
        hostname TEXT NOT NULL,
        port INTEGER NOT NULL,
        vm TEXT NOT NULL,
        instance_uuid TEXT NOT NULL,
        vm_name TEXT NOT NULL,
        name TEXT NOT NULL,
        snapshot TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL,
        changed TEXT NOT NULL,
        note TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX vm_snapshot_open ON vm_snapshot (state) WHERE state != 'gone'",
    "CREATE INDEX vm_snapshot_run ON vm_snapshot (run)",
)

TASKS = (
    # key: what its ZFS snapshots carry; random, because an id comes again when a database was lost. settings: JSON, see
    # state/snapshot_tasks.py. handled: seconds since 1970, up to when its schedule has been seen to; begun: the
    # instant of the schedule that a run is about, tries: how many runs were.
    """
    CREATE TABLE task (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        dataset TEXT NOT NULL,
        naming_schema TEXT NOT NULL,
        settings TEXT NOT NULL,
        handled REAL NOT NULL,
        begun REAL NOT NULL DEFAULT 0,
        tries INTEGER NOT NULL DEFAULT 0,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        UNIQUE (dataset, naming_schema)
    )
    """,
)

TWICE = (
    # 1 when its creation was asked for again, because nobody saw how the first one ended
    "ALTER TABLE vm_snapshot ADD COLUMN twice INTEGER NOT NULL DEFAULT 0",
)

BY_TASK_AND_STATE = (
    # what a task did last, and which runs are not settled, are asked every minute, however many runs there were
    "CREATE INDEX run_task ON run (task, started)",
    "CREATE INDEX run_state ON run (state, started)",
)

ACCOUNT = (
    # the account that it was asked for with, '' where that is not known: another may not see the VM
    "ALTER TABLE vm_snapshot ADD COLUMN username TEXT NOT NULL DEFAULT ''",
)

CREATION = (
    # what is known of the creation (state/creation.py); it takes the place of `twice`, which nothing reads
    "ALTER TABLE vm_snapshot ADD COLUMN creation TEXT NOT NULL DEFAULT 'asked'",
    """
    UPDATE vm_snapshot SET creation = CASE
        WHEN twice THEN 'repeated' WHEN state = 'intended' THEN 'asked' WHEN state = 'absent' THEN 'unanswered'
        ELSE 'made' END
    """,
)

SEALS = (
    # One row per ZFS snapshot whose finished record is not known to be set on it. createtxg: '' where it is not known;
    # properties: JSON list of [name, value], in the order in which they are set
    """
    CREATE TABLE seal (
        run TEXT NOT NULL,
        snapshot TEXT NOT NULL,
        createtxg TEXT NOT NULL,
        properties TEXT NOT NULL,
        UNIQUE (run, snapshot)
    )
    """,
)

HOST = (
    # the identity of the host that the run was on (state/host_identity.py), '' where that is not known: a journal is
    # copied with its disk, and then another machine may be at work on the run
    "ALTER TABLE run ADD COLUMN host TEXT NOT NULL DEFAULT ''",
)

TURNS = (
    # turned: seconds since 1970 by this host's clock, when the task's last turn ended, 0 where that is not known;
    # spared: 1 when that turn destroyed nothing because it doubted the clock
    "ALTER TABLE task ADD COLUMN turned REAL NOT NULL DEFAULT 0",
    "ALTER TABLE task ADD COLUMN spared INTEGER NOT NULL DEFAULT 0",
    # the last run of a task is the one that was written last, whatever the clock said
    "DROP INDEX run_task",
    "CREATE INDEX run_of_task ON run (task)",
)

CONSOLIDATION = (
    # 1 when the VM's disks needed consolidation before we caused it: that is not for us to do
    "ALTER TABLE vm_snapshot ADD COLUMN needed_consolidation INTEGER NOT NULL DEFAULT 0",
    # 1.0.0 closed what it could not consolidate, and tried again with the next removal: each VM's last one tells
    """
    UPDATE vm_snapshot SET state = 'unconsolidated'
    WHERE note LIKE 'its disks need consolidation%' AND id IN (
        SELECT max(id) FROM vm_snapshot WHERE state = 'gone' AND note != 'it was never asked for'
        GROUP BY hostname, port, vm
    )
    """,
)

UPTIME = (
    # beside `changed` of an entry that is absent: the same instant by what nobody sets (state/elapsed.py)
    "ALTER TABLE vm_snapshot ADD COLUMN uptime TEXT NOT NULL DEFAULT ''",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    CREDENTIALS,
    JOURNAL,
    TASKS,
    TWICE,
    BY_TASK_AND_STATE,
    ACCOUNT,
    CREATION,
    SEALS,
    HOST,
    TURNS,
    CONSOLIDATION,
    UPTIME,
)
