# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that nothing is left behind: coordinated runs with a fault in each, and a look at what remains.

    python -m tests.chaos [--seed N] [--faults N] [--minutes M]

docs/reliability.md says what is promised and how this tests it, tests/README.md how to read build/chaos.json.
"""
