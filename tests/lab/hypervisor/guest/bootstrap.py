# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for the hypervisor's program, which the lab sends as a zip file, and run it. So a change of the program does not
change the disk image.

With the argument `imports`, only import the modules that the program needs: the image keeps their bytecode."""

import importlib
import socket
import struct
import sys

# What the program needs, imported before it arrives.
MODULES = (
    "collections", "contextlib", "ctypes", "dataclasses", "fcntl", "hashlib", "itertools", "json", "pathlib",
    "re", "secrets", "socketserver", "sqlite3", "subprocess", "tempfile", "threading", "traceback", "zipfile",
    "zlib",
)  # fmt: skip
PORT = 7000
PROGRAM = "/run/program.zip"

for module in MODULES:
    importlib.import_module(module)
if sys.argv[1:] == ["imports"]:
    sys.exit()

listener = socket.create_server(("", PORT))
connection, _address = listener.accept()
connection.sendall(b"hypervisor\n")
with open(PROGRAM, "wb") as program:
    (left,) = struct.unpack(">I", connection.recv(4, socket.MSG_WAITALL))
    while left:
        part = connection.recv(min(left, 1 << 20))
        if not part:
            sys.exit("the program did not arrive as a whole")
        program.write(part)
        left -= len(part)
sys.path.insert(0, PROGRAM)

agent = importlib.import_module("inside.agent")
connection.sendall(b"ready\n")
connection.close()
agent.serve(listener)
