# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sessions that antsibull-nox.toml describes: nox --list. `make check` runs the default ones among its checks."""

import sys

import nox

try:
    import antsibull_nox
except ImportError:
    print("antsibull-nox is missing in the Python that runs nox; install it there with pip")
    sys.exit(1)

antsibull_nox.load_antsibull_nox_toml()

if __name__ == "__main__":
    nox.main()
