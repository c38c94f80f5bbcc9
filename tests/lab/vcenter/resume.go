// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

// A kill of the simulator can come between the work of the hypervisor and the record of it. The next start brings both into
// line. A creation that nobody has recorded has no effect. A snapshot that the hypervisor has removed is gone.

// resume does so for a real machine from the state file. The hypervisor answers when it has ended its work on the machine.
// A machine that the hypervisor does not know stays as it is. Called with world held, before anybody is connected.
func (vm *machine) resume() {
	var now files
	if f := vm.order("show", nil, &now); f != nil {
		return
	}
	vm.dropUnrecorded(now)
	for _, moid := range vm.notIn(now) {
		_ = vm.removeSnapshot(moid, false)
	}
	var after files
	if f := vm.order("show", nil, &after); f == nil {
		vm.follow(after)
		_ = vm.show()
	}
}

// dropUnrecorded removes the snapshots that only the hypervisor has, the newest first.
func (vm *machine) dropUnrecorded(now files) {
	for i := len(now.Snapshots) - 1; i >= 0; i-- {
		if uid := now.Snapshots[i].UID; vm.snapshotByID(uid) == nil {
			_ = vm.order("remove", parameters{"uid": uid}, nil)
		}
	}
}

// notIn lists the snapshots of the record that the hypervisor does not have any more.
func (vm *machine) notIn(now files) (gone []string) {
	there := map[int32]bool{}
	for _, s := range now.Snapshots {
		there[s.UID] = true
	}
	vm.eachSnapshot(func(s *snapshot) {
		if !there[s.ID] {
			gone = append(gone, s.Moid)
		}
	})
	return gone
}
