# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of Sphinx for `make docs`. The site loads nothing from the network."""

from __future__ import annotations

from typing import Any

project = "quiesce.vmware_zfs"
author = "The quiesce.vmware_zfs authors"
project_copyright = f"2026, {author}"
title = html_title = html_short_title = "quiesce.vmware_zfs"
html_theme = "sphinx_ansible_theme"
html_theme_options = {
    "documentation_home_url": "https://github.com/quiesce/vmware_zfs/tree/main/docs",
    "topbar_links": {},
    "display_version": False,
}
html_show_sphinx = False
extensions = ["myst_parser", "sphinx_antsibull_ext"]
highlight_language = "YAML+Jinja"
pygments_style = "ansible"
myst_heading_anchors = 3
nitpicky = True
REPOSITORY = "https://github.com/quiesce/vmware_zfs/blob/main/"


def _point_to_the_repository(_app: Any, name: str, text: list[str]) -> None:
    """Make links to files outside docs/ point to the repository, because the site does not contain them."""
    text[0] = text[0].replace("](../../", f"]({REPOSITORY}")
    if "/" not in name:
        text[0] = text[0].replace("](../", f"]({REPOSITORY}")


def setup(app: Any) -> None:
    app.connect("source-read", _point_to_the_repository)
