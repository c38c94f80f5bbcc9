// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// The state file lets datastores, machines and snapshots survive a restart, also one after SIGKILL: each change appends one
// line of JSON, and the last line about an object holds. A start reads the file, writes it anew without what is outdated,
// and goes on appending.

type entry struct {
	Boot          int              `json:"boot,omitempty"`
	NextID        int              `json:"next_id"`
	VM            *record          `json:"vm,omitempty"`
	Gone          string           `json:"gone,omitempty"` // a machine's managed object ID
	Datastore     *datastoreRecord `json:"datastore,omitempty"`
	GoneDatastore string           `json:"gone_datastore,omitempty"`
}

// memory is what a state file held: the objects in the order in which they were made.
type memory struct {
	boots      int
	nextID     int
	machines   []*record
	datastores []*datastoreRecord
}

type stateFile struct{ file *os.File }

var journal stateFile // guarded by world, as all that it describes

func (j *stateFile) write(e entry) {
	if j.file == nil {
		return
	}
	e.NextID = inv.nextID
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("state file: %v", err))
	}
}

// openState starts the file anew and returns what the old one held, or nil.
func openState(path string) (*memory, error) {
	if path == "" {
		return nil, nil
	}
	old, err := readState(path)
	if err != nil {
		return nil, err
	}
	// The old file stays until the new one is complete (see commit): a kill in between loses nothing.
	if journal.file, err = os.Create(path + ".new"); err != nil {
		return nil, err
	}
	return old, nil
}

// commitState makes the newly written file the state file, once the inventory is complete.
func commitState(path string, boots int) error {
	if path == "" {
		return nil
	}
	journal.write(entry{Boot: boots})
	return os.Rename(path+".new", path)
}

func readState(path string) (*memory, error) {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m := &memory{}
	machines, datastores := map[string]*record{}, map[string]*datastoreRecord{}
	var order []string
	in := bufio.NewReader(file)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil { // the end, or a line that a kill cut short: nobody was told of it
			break
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("%s: %v", path, err)
		}
		m.boots, m.nextID = max(m.boots, e.Boot), max(m.nextID, e.NextID)
		switch {
		case e.VM != nil:
			order = append(order, e.VM.Moid)
			machines[e.VM.Moid] = e.VM
		case e.Datastore != nil:
			order = append(order, e.Datastore.Moid)
			datastores[e.Datastore.Moid] = e.Datastore
		}
		delete(machines, e.Gone)
		delete(datastores, e.GoneDatastore)
	}
	for _, moid := range order { // each once, where it was first named
		if rec := machines[moid]; rec != nil {
			m.machines = append(m.machines, rec)
			delete(machines, moid)
		}
		if rec := datastores[moid]; rec != nil {
			m.datastores = append(m.datastores, rec)
			delete(datastores, moid)
		}
	}
	return m, nil
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}
