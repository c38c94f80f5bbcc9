# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options to connect to a vCenter or ESXi host. The argument specs are CONNECTION, LOGIN and TIMEOUTS."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  hostname:
    description:
      - The host name or IP address of the vCenter or ESXi host.
      - If not set, the environment variable E(VMWARE_HOST) is used.
    type: str
  port:
    description: The TCP port of the server's API.
    type: int
    default: 443
  username:
    description:
      - The user to log in as.
      - If not set, the environment variable E(VMWARE_USER) is used.
    type: str
  password:
    description:
      - The password of O(username).
      - If not set, the environment variable E(VMWARE_PASSWORD) is used.
    type: str
  validate_certs:
    description:
      - Whether the server's certificate must be signed by a trusted certificate authority and issued for O(hostname).
      - If not set, the environment variable E(VMWARE_VALIDATE_CERTS) is used.
      - This option is ignored if O(thumbprint) is set.
    type: bool
    default: true
  ca_path:
    description:
      - The absolute path, on the storage host, of the certificate authorities to trust. This is a PEM file, or a
        directory prepared with C(openssl rehash).
      - If not set, the certificate authorities of the storage host are used.
    type: path
  thumbprint:
    description:
      - The SHA-256 thumbprint of the server's certificate. If set, only the certificate with this thumbprint is
        accepted.
      - Colons, spaces and case are ignored. C(openssl x509 -noout -fingerprint -sha256) shows the thumbprint.
    type: str
notes:
  - The environment variables are read on the host where the module runs. This is usually the storage host, not the
    controller. Use the task keyword C(environment) to set them.
"""

    # For modules that can also log in with a stored credential. The argument spec is LOGIN.
    LOGIN = r"""
options:
  id:
    description:
      - The ID of the stored credential to log in with. M(quiesce.vmware_zfs.vmware_cred_info) lists the IDs.
      - If set, the stored connection options are used and the other connection options are ignored.
      - If not set, O(hostname) and O(username) are required, together with O(password) or O(filesystem).
    type: int
  filesystem:
    description:
      - The dataset of a stored credential.
      - If O(password) is not set, the module logs in with the credential that is stored for O(hostname), O(port),
        O(username) and this dataset.
    type: str
"""

    # For modules that restore VMs. They log in with the options of the fragment, or with a stored credential.
    RESTORE = r"""
options: {}
notes:
  - The connection options are optional. If O(username) is not set, the module logs in with the stored credential for
    the dataset whose purpose is V(restore). If O(hostname) is set, it uses the stored credential for this server.
    M(quiesce.vmware_zfs.vmware_cred) stores such a credential. The credentials of runs are not used.
  - M(quiesce.vmware_zfs.vmware_vsphere_role) creates a role with the privileges of each way to restore. The module uses
    no other privileges.
"""

    # For every module that logs in.
    TIMEOUTS = r"""
options:
  connect_timeout:
    description: The maximum time in seconds to connect to the server, including the TLS handshake.
    type: float
    default: 15.0
  call_timeout:
    description: The maximum time in seconds to wait for the response to an API call.
    type: float
    default: 60.0
"""

    # For modules that need only the state.
    STATE = r"""
options: {}
notes:
  - The module must run on the storage host as root.
  - The state is stored in C(/var/lib/vmware-zfs). Set the environment variable E(VMWARE_ZFS_STATE_DIR) to use another
    directory.
"""

    # For every module that logs in or handles passwords.
    RUNTIME = r"""
options: {}
requirements:
  - pyVmomi 8.0.3 or later. With Python 3.9, a version before 9.1, because 9.1 does not support Python 3.9.
  - cryptography 3.4 or later
notes:
  - The module must run on the storage host as root.
  - If the host's Python lacks a required library, the module runs in the virtual environment that the role
    C(quiesce.vmware_zfs.runtime) creates in C(/opt/vmware-zfs/venv). Set the environment variable
    E(VMWARE_ZFS_PYTHON) to use another Python.
  - The state is stored in C(/var/lib/vmware-zfs). The key that encrypts the passwords is in
    C(/etc/vmware-zfs/secret.key). Set the environment variables E(VMWARE_ZFS_STATE_DIR) and E(VMWARE_ZFS_KEY_FILE) to
    use other locations.
"""
