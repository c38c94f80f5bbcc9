# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx configuration of the site that `make docs` builds. The site loads nothing from the network."""

from __future__ import annotations

import re
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
html_static_path = ["_static"]
html_css_files = ["site.css"]
extensions = ["myst_parser", "sphinx_antsibull_ext"]
highlight_language = "YAML+Jinja"
pygments_style = "ansible"
myst_heading_anchors = 3
nitpicky = True
REPOSITORY = "https://github.com/quiesce/vmware_zfs/blob/main/"


def _link_to_the_repository(_app: Any, name: str, text: list[str]) -> None:
    """Point links that leave docs/ to the file in the repository, because it is not a page of the site."""
    text[0] = text[0].replace("](../../", f"]({REPOSITORY}")
    if "/" not in name:
        text[0] = text[0].replace("](../", f"]({REPOSITORY}")


def _shorten_the_navigation(_app: Any, name: str, text: list[str]) -> None:
    """Show the bare names of modules and roles in the navigation: the titles of their pages do not fit."""
    if name == "reference/index":
        text[0] = re.sub(
            r"^Quiesce\.Vmware_Zfs\n=+$", "Modules and roles\n=================", text[0], flags=re.MULTILINE
        )
        text[0] = re.sub(r"^    (\w+)_(module|role)$", r"    \1 <\1_\2>", text[0], flags=re.MULTILINE)


def setup(app: Any) -> None:
    app.connect("source-read", _link_to_the_repository)
    app.connect("source-read", _shorten_the_navigation)
