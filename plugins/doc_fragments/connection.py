# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach a vCenter or ESXi host; the argument specs are CONNECTION, LOGIN and TIMEOUTS of _ansible.py."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  hostname:
    description:
      - Name or address of the vCenter or ESXi host.
      - If not set, the environment variable E(VMWARE_HOST) is used.
    type: str
  port:
    description: TCP port of its API.
    type: int
    default: 443
  username:
    description:
      - User to log in as.
      - If not set, the environment variable E(VMWARE_USER) is used.
    type: str
  password:
    description:
      - Password of O(username).
      - If not set, the environment variable E(VMWARE_PASSWORD) is used.
    type: str
  validate_certs:
    description:
      - Whether the server's certificate must be signed by a known authority and issued for O(hostname).
      - If not set, the environment variable E(VMWARE_VALIDATE_CERTS) is used.
      - A O(thumbprint) decides alone and makes this option irrelevant.
    type: bool
    default: true
  ca_path:
    description:
      - Absolute path, on the storage host, of the authorities to trust, a PEM file or a folder prepared with
        C(openssl rehash).
      - When left out the authorities that the storage host trusts are used.
    type: path
  thumbprint:
    description:
      - SHA-256 thumbprint of the server's certificate, which is then the only certificate that is accepted.
      - Colons, spaces and case do not matter. Read it with C(openssl x509 -noout -fingerprint -sha256).
    type: str
notes:
  - The environment variables are read where the module runs, which is the storage host and not the controller, unless
    the task runs elsewhere. A task sets them with C(environment).
"""

    # For modules that log in with a stored credential too; the argument spec is LOGIN
    LOGIN = r"""
options:
  id:
    description:
      - The stored credential to log in with, as M(quiesce.vmware_zfs.vmware_cred_info) lists it. The connection options
        are then those that are stored, whatever else is given.
      - Without it O(hostname) and O(username) are needed, and O(password) or O(filesystem).
    type: int
  filesystem:
    description:
      - When there is no O(password), log in with the credential that is stored for O(hostname), O(port), O(username)
        and this dataset.
    type: str
"""

    # For every module that logs in
    TIMEOUTS = r"""
options:
  connect_timeout:
    description: Seconds that connecting to the server may take, the TLS handshake included.
    type: float
    default: 15.0
  call_timeout:
    description: Seconds that the server may take to answer any one call.
    type: float
    default: 60.0
"""

    # For modules that need the state alone
    STATE = r"""
options: {}
notes:
  - The module runs on the storage host, as root.
  - The state lies in C(/var/lib/vmware-zfs). The environment variable E(VMWARE_ZFS_STATE_DIR) names another place.
"""

    # For every module that logs in or handles passwords
    RUNTIME = r"""
options: {}
requirements:
  - pyVmomi 8.0.3 or later; with Python 3.9 before 9.1, which refuses it
  - cryptography 3.4 or later
notes:
  - The module runs on the storage host, as root.
  - When the host's Python lacks a required library, the module continues in the virtual environment of the role
    C(quiesce.vmware_zfs.runtime), C(/opt/vmware-zfs/venv), or in the Python that the environment variable
    E(VMWARE_ZFS_PYTHON) names.
  - The state lies in C(/var/lib/vmware-zfs) and the key that encrypts passwords in C(/etc/vmware-zfs/secret.key). The
    environment variables E(VMWARE_ZFS_STATE_DIR) and E(VMWARE_ZFS_KEY_FILE) name other places.
"""
