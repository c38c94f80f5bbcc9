# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of the state database. Each entry of MIGRATIONS upgrades it from one version to the next.

To change the schema, append a tuple of statements and do not change existing ones. The version (`PRAGMA user_version`)
is the number of applied entries. All missing entries are applied in one transaction.
"""

from __future__ import annotations

CREDENTIALS = (
    # datastores: a JSON list of names, [] if each run matches them; password: ciphertext (cipher.py);
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
    # One row per VMware snapshot; vm, snapshot: managed object IDs; name: the name of the VMware snapshot. No foreign
    # key to run, because recovery also adds VMware snapshots that it finds after the database was lost.
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
    # key: identifies the task in its ZFS snapshots; random, because IDs can repeat after the database was lost.
    # settings: JSON, see state/snapshot_tasks.py. handled: seconds since 1970, up to which the schedule is done.
    # begun: the instant of the schedule for which a run began; tries: the number of runs for it.
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
    # 1 if the creation was requested again because the end of the first request was not seen
    "ALTER TABLE vm_snapshot ADD COLUMN twice INTEGER NOT NULL DEFAULT 0",
)

BY_TASK_AND_STATE = (
    # the last run of a task and the unfinished runs are queried every minute, among many runs
    "CREATE INDEX run_task ON run (task, started)",
    "CREATE INDEX run_state ON run (state, started)",
)

ACCOUNT = (
    # the account that requested it, '' if unknown; another account may not see the VM
    "ALTER TABLE vm_snapshot ADD COLUMN username TEXT NOT NULL DEFAULT ''",
)

CREATION = (
    # the status of the creation (state/creation.py); replaces `twice`, which is no longer read
    "ALTER TABLE vm_snapshot ADD COLUMN creation TEXT NOT NULL DEFAULT 'asked'",
    """
    UPDATE vm_snapshot SET creation = CASE
        WHEN twice THEN 'repeated' WHEN state = 'intended' THEN 'asked' WHEN state = 'absent' THEN 'unanswered'
        ELSE 'made' END
    """,
)

SEALS = (
    # One row per ZFS snapshot whose complete record may not be set on it yet. createtxg: '' if unknown; properties:
    # JSON list of [name, value], in the order in which they are set
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
    # the identity of the host of the run (state/host_identity.py), '' if unknown: the journal may have been copied with
    # its disk, and then the run may be alive on another machine
    "ALTER TABLE run ADD COLUMN host TEXT NOT NULL DEFAULT ''",
)

TURNS = (
    # turned: seconds since 1970 by this host's clock, when the task was last processed, 0 if unknown;
    # spared: 1 if nothing was destroyed then because the clock may have been wrong
    "ALTER TABLE task ADD COLUMN turned REAL NOT NULL DEFAULT 0",
    "ALTER TABLE task ADD COLUMN spared INTEGER NOT NULL DEFAULT 0",
    # the last run of a task is the one that was written last, regardless of the clock
    "DROP INDEX run_task",
    "CREATE INDEX run_of_task ON run (task)",
)

CONSOLIDATION = (
    # 1 if the VM's disks needed consolidation before; then the engine did not cause it and leaves it alone
    "ALTER TABLE vm_snapshot ADD COLUMN needed_consolidation INTEGER NOT NULL DEFAULT 0",
    # release 1.0.0 closed such rows and tried again with the next removal, so only the last row of each VM counts
    """
    UPDATE vm_snapshot SET state = 'unconsolidated'
    WHERE note LIKE 'its disks need consolidation%' AND id IN (
        SELECT max(id) FROM vm_snapshot WHERE state = 'gone' AND note != 'it was never asked for'
        GROUP BY hostname, port, vm
    )
    """,
)

UPTIME = (
    # the uptime at the instant `changed` of an absent entry (state/elapsed.py)
    "ALTER TABLE vm_snapshot ADD COLUMN uptime TEXT NOT NULL DEFAULT ''",
)

DATASET_POLICIES = (
    # policies: JSON list (vm_policies.py), for the VMs on the dataset and its children; created, updated: UTC, ISO 8601
    """
    CREATE TABLE dataset_policies (
        dataset TEXT PRIMARY KEY,
        policies TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL
    )
    """,
    # the datasets outside its own that runs of a task have included because of a policy; task: its key
    "CREATE TABLE included_dataset (task TEXT NOT NULL, dataset TEXT NOT NULL, UNIQUE (task, dataset))",
)

RESTORES = (
    # way, state: see state/restores.py; vm, name: the original and the restored VM; hostname, port, username: the
    # server and the account; started, ended: UTC, ISO 8601; host: as in run; result: JSON
    """
    CREATE TABLE restore (
        id TEXT PRIMARY KEY,
        snapshot TEXT NOT NULL,
        way TEXT NOT NULL,
        vm TEXT NOT NULL,
        name TEXT NOT NULL,
        hostname TEXT NOT NULL,
        port INTEGER NOT NULL,
        username TEXT NOT NULL,
        state TEXT NOT NULL,
        started TEXT NOT NULL,
        ended TEXT NOT NULL DEFAULT '',
        host TEXT NOT NULL DEFAULT '',
        result TEXT NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX restore_state ON restore (state)",
    # One row per step that would have to be undone; kind, state: see state/restores.py; data: JSON
    """
    CREATE TABLE restore_step (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        restore TEXT NOT NULL,
        kind TEXT NOT NULL,
        data TEXT NOT NULL,
        state TEXT NOT NULL,
        changed TEXT NOT NULL,
        note TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX step_of_restore ON restore_step (restore)",
)

PURPOSE = (
    # purpose: see state/credentials.py. SQLite cannot change a UNIQUE constraint, so the table is made again. The IDs
    # stay, because passwords are bound to them, and no ID is used twice.
    """
    CREATE TABLE credential_with_purpose (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hostname TEXT NOT NULL,
        port INTEGER NOT NULL,
        username TEXT NOT NULL,
        filesystem TEXT NOT NULL,
        purpose TEXT NOT NULL DEFAULT 'snapshot',
        datastores TEXT NOT NULL,
        validate_certs INTEGER NOT NULL,
        ca_path TEXT,
        thumbprint TEXT,
        password TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        UNIQUE (hostname, port, username, filesystem, purpose)
    )
    """,
    """
    INSERT INTO credential_with_purpose (id, hostname, port, username, filesystem, datastores, validate_certs, ca_path,
        thumbprint, password, created, updated)
    SELECT id, hostname, port, username, filesystem, datastores, validate_certs, ca_path, thumbprint, password, created,
        updated
    FROM credential
    """,
    "DELETE FROM sqlite_sequence WHERE name = 'credential_with_purpose'",
    "INSERT INTO sqlite_sequence (name, seq)"
    " SELECT 'credential_with_purpose', seq FROM sqlite_sequence WHERE name = 'credential'",
    "DROP TABLE credential",
    "ALTER TABLE credential_with_purpose RENAME TO credential",
)

DRILLS = (
    # The last drill of each VM. vm: the dataset and the path of its .vmx file there; name: its name; drill: its ID in
    # the table restore; tried: UTC, ISO 8601; verdict: see records/verdicts.py, "" until there is one
    """
    CREATE TABLE drilled_vm (
        vm TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        snapshot TEXT NOT NULL,
        drill TEXT NOT NULL,
        tried TEXT NOT NULL,
        verdict TEXT NOT NULL DEFAULT ''
    )
    """,
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
    DATASET_POLICIES,
    RESTORES,
    PURPOSE,
    DRILLS,
)
