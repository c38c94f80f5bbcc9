// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

// The control endpoint: plain HTTP and JSON on a loopback port of its own, so that no fault of the vCenter's reaches it.
// README.md shows each request.

var controls = map[string]func(*http.Request) (interface{}, error){
	"GET rules":     func(*http.Request) (interface{}, error) { return faults.list(), nil },
	"POST rules":    addRule,
	"DELETE rules":  deleteRules,
	"POST release":  releaseTasks,
	"POST network":  setNetwork,
	"POST expire":   func(*http.Request) (interface{}, error) { sessions.end(""); endRestSessions(); return nil, nil },
	"GET rest":      func(*http.Request) (interface{}, error) { return len(restSessions.users), nil },
	"POST deny":     deny,
	"DELETE deny":   func(*http.Request) (interface{}, error) { setDenials(nil); return nil, nil },
	"POST user":     addUser,
	"POST vm":       changeMachines,
	"POST move":     moveMachines,
	"POST deploy":   deployMachines,
	"POST behavior": changeBehavior,
	"POST copy":     copyMachine,
	"GET hosts":     func(*http.Request) (interface{}, error) { return listHosts(), nil },
	"POST host":     changeHosts,
	"POST register": registerMachine,
	"DELETE vm":     unregisterMachine,
	"GET trace":     getTrace,
	"DELETE trace":  func(*http.Request) (interface{}, error) { trace.reset(); return nil, nil },
	"GET snapshots": func(*http.Request) (interface{}, error) { return listSnapshots(), nil },
	"GET stats":     func(*http.Request) (interface{}, error) { return stats.json(), nil },
	"DELETE stats":  func(*http.Request) (interface{}, error) { stats.reset(); return nil, nil },
}

func control(w http.ResponseWriter, r *http.Request) {
	serve, ok := controls[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/_ctl/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	answer, err := serve(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func decode(r *http.Request, into interface{}) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// matches tells whether an anchored regular expression matches; an empty one matches all, a wrong one nothing.
func matches(expression, text string) bool {
	if expression == "" {
		return true
	}
	ok, _ := regexp.MatchString("^(?s:"+expression+")$", text)
	return ok
}

func addRule(r *http.Request) (interface{}, error) {
	one := &rule{}
	if err := decode(r, one); err != nil {
		return nil, err
	}
	if err := faults.add(one); err != nil {
		return nil, err
	}
	return map[string]int{"id": one.ID}, nil
}

func deleteRules(r *http.Request) (interface{}, error) {
	id, err := strconv.Atoi(r.URL.Query().Get("id"))
	if r.URL.Query().Get("id") != "" && err != nil {
		return nil, err
	}
	faults.remove(id)
	return nil, nil
}

// releaseTasks lets tasks that hang go on to their end.
func releaseTasks(r *http.Request) (interface{}, error) {
	var what struct {
		VM string `json:"vm"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	world.Lock()
	defer world.Unlock()
	n := 0
	for t := range scheduler.active {
		name := t.name
		if t.vm != nil {
			name = t.vm.rec.Config.Name
		}
		if t.effect() == "task_hang" && matches(what.VM, name) && t.letGo() {
			n++
		}
	}
	return map[string]int{"released": n}, nil
}

func setNetwork(r *http.Request) (interface{}, error) {
	var what struct {
		Mode string `json:"mode"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	if !network.set(what.Mode) {
		return nil, fmt.Errorf("unknown mode %q", what.Mode)
	}
	return nil, nil
}

func deny(r *http.Request) (interface{}, error) {
	var d denial
	if err := decode(r, &d); err != nil {
		return nil, err
	}
	denials.Lock()
	denials.list = append(denials.list, d)
	denials.Unlock()
	hub.allChanged()
	return nil, nil
}

func setDenials(list []denial) {
	denials.Lock()
	denials.list = list
	denials.Unlock()
	hub.allChanged()
}

func addUser(r *http.Request) (interface{}, error) {
	var what struct {
		Name string `json:"name"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	sessions.add(what.Name)
	return nil, nil
}

func changeMachines(r *http.Request) (interface{}, error) {
	var what struct {
		VM     string          `json:"vm"`
		Change json.RawMessage `json:"change"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	world.Lock()
	defer world.Unlock()
	n := 0
	for _, vm := range inv.sortedMachines() {
		if matches(what.VM, vm.rec.Config.Name) {
			if err := vm.change(what.Change); err != nil {
				return nil, err
			}
			n++
		}
	}
	if n == 0 {
		return nil, fmt.Errorf("no VM matches %q", what.VM)
	}
	return map[string]int{"changed": n}, nil
}

// moveMachines is a Storage vMotion of the home, of disks, or of both: "disks" is "follow" (those beside the home go with it, the
// default), "stay", or {key: datastore} of those that go.
func moveMachines(r *http.Request) (interface{}, error) {
	var what struct {
		VM        string          `json:"vm"`
		Datastore string          `json:"datastore"` // of the home; default: it stays
		Disks     json.RawMessage `json:"disks"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	world.Lock()
	defer world.Unlock()
	n := 0
	for _, vm := range inv.sortedMachines() {
		if !matches(what.VM, vm.rec.Config.Name) {
			continue
		}
		var home *datastore
		var err error
		if what.Datastore != "" {
			if home, err = vm.datastoreFor(what.Datastore, "the home"); err != nil {
				return nil, err
			}
		}
		to, err := vm.targets(what.Disks, home)
		if err != nil {
			return nil, err
		}
		if err := vm.move(home, to); err != nil {
			return nil, err
		}
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("no VM matches %q", what.VM)
	}
	return map[string]int{"moved": n}, nil
}

// targets reads what a move says of the machine's disks.
func (vm *machine) targets(raw json.RawMessage, home *datastore) (func(diskConfig) *datastore, error) {
	var word string
	if len(raw) == 0 {
		word = "follow"
	} else if json.Unmarshal(raw, &word) != nil {
		return vm.namedTargets(raw)
	}
	switch word {
	case "follow":
		beside := vm.rec.Datastore
		return func(d diskConfig) *datastore {
			if d.Datastore == beside {
				return home
			}
			return nil
		}, nil
	case "stay":
		return func(diskConfig) *datastore { return nil }, nil
	}
	return nil, fmt.Errorf("disks neither follow nor stay: %q", word)
}

func (vm *machine) namedTargets(raw json.RawMessage) (func(diskConfig) *datastore, error) {
	var names map[int32]string
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, err
	}
	known := map[int32]bool{}
	for _, d := range vm.rec.Config.Disks {
		known[d.Key] = true
	}
	places := map[int32]*datastore{}
	for key, name := range names {
		if !known[key] {
			return nil, fmt.Errorf("VM %q has no disk with the key %d", vm.rec.Config.Name, key)
		}
		ds, err := vm.datastoreFor(name, fmt.Sprintf("the disk %d", key))
		if err != nil {
			return nil, err
		}
		places[key] = ds
	}
	return func(d diskConfig) *datastore { return places[d.Key] }, nil
}

// deployMachines registers new machines, as the configuration does when the simulator starts.
func deployMachines(r *http.Request) (interface{}, error) {
	var what struct {
		Datastore  string          `json:"datastore"`
		Datacenter string          `json:"datacenter"`
		VMs        []machineConfig `json:"vms"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	world.Lock()
	defer world.Unlock()
	made, err := deploy(what.Datastore, what.Datacenter, what.VMs)
	if err != nil {
		return nil, err
	}
	moids := []string{}
	for _, vm := range made {
		moids = append(moids, vm.rec.Moid)
	}
	return map[string][]string{"moids": moids}, nil
}

// listHosts is the simulator's own view of how every host mounts datastores.
func listHosts() json.RawMessage {
	type mount struct {
		Datastore string   `json:"datastore"`
		Moid      string   `json:"moid"`
		Type      string   `json:"type"`
		Servers   []string `json:"servers,omitempty"`
		Path      string   `json:"path,omitempty"`
		Access    string   `json:"access"`
	}
	type view struct {
		Name       string  `json:"name"`
		Moid       string  `json:"moid"`
		Datacenter string  `json:"datacenter"`
		Mounts     []mount `json:"mounts"`
	}
	world.RLock()
	defer world.RUnlock()
	out := []view{}
	for _, h := range inv.hosts {
		v := view{Name: h.Name, Moid: h.Self.Value, Datacenter: h.datacenter.Name, Mounts: []mount{}}
		for _, r := range h.HostSystem.Datastore {
			ds := findDatastoreByRef(r)
			one := ds.rec.Mounts[ds.mountIndex(h)]
			m := mount{Datastore: ds.rec.Name, Moid: ds.rec.Moid, Type: ds.Summary.Type, Access: one.Access, Servers: one.Servers}
			if nas := ds.nas(); nas != nil {
				m.Path = nas.RemotePath
				if len(m.Servers) == 0 {
					m.Servers = []string{nas.RemoteHost}
				}
			}
			v.Mounts = append(v.Mounts, m)
		}
		out = append(out, v)
	}
	raw, _ := json.Marshal(out)
	return raw
}

// changeHosts sets a host's connection to vCenter and its maintenance mode. It does not survive a restart.
func changeHosts(r *http.Request) (interface{}, error) {
	var what struct {
		Host        string                          `json:"host"`
		Connection  types.HostSystemConnectionState `json:"connection"` // connected, disconnected, notResponding
		Maintenance *bool                           `json:"maintenance"`
		MemoryMB    int64                           `json:"memory_mb"`
		UsedMB      int64                           `json:"used_mb"`
		MaxVolumes  int64                           `json:"nfs_max_volumes"`
		Addresses   []string                        `json:"addresses"` // of its VMkernel adapters
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	switch what.Connection {
	case "", types.HostSystemConnectionStateConnected, types.HostSystemConnectionStateDisconnected, types.HostSystemConnectionStateNotResponding:
	default:
		return nil, fmt.Errorf("unknown connection state %q", what.Connection)
	}
	world.Lock()
	defer world.Unlock()
	n := 0
	for _, h := range inv.hosts {
		if !matches(what.Host, h.Name) {
			continue
		}
		n++
		update(h.HostSystem, func() {
			if what.Connection != "" {
				h.Runtime.ConnectionState = what.Connection
			}
			if what.Maintenance != nil {
				h.Runtime.InMaintenanceMode = *what.Maintenance
			}
		}, "runtime")
		h.setMemory(what.MemoryMB, what.UsedMB)
		if what.Addresses != nil {
			h.setAddresses(what.Addresses)
		}
		if what.MaxVolumes > 0 {
			h.limit = what.MaxVolumes
			h.showOptions()
		}
	}
	if n == 0 {
		return nil, fmt.Errorf("no host matches %q", what.Host)
	}
	return map[string]int{"changed": n}, nil
}

// registerMachine adds a new machine (datastore and config), or brings back an unregistered one (name).
func registerMachine(r *http.Request) (interface{}, error) {
	var what struct {
		Name       string         `json:"name"`
		Datastore  string         `json:"datastore"`
		Datacenter string         `json:"datacenter"`
		Config     *machineConfig `json:"config"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	world.Lock()
	defer world.Unlock()
	var vm *machine
	var err error
	if what.Config != nil {
		vm, err = addMachine(&record{Config: *what.Config, Datastore: what.Datastore, Datacenter: what.Datacenter})
	} else {
		vm, err = register(what.Name)
	}
	if err != nil {
		return nil, err
	}
	return map[string]string{"moid": vm.rec.Moid}, nil
}

// copyMachine says that a copy of a simulated machine, as it is now, can be registered at paths that match.
func copyMachine(r *http.Request) (interface{}, error) {
	var what struct {
		VM     string          `json:"vm"`
		Path   string          `json:"path"` // regular expression, anchored, of the datastore path of its .vmx
		Change json.RawMessage `json:"change"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	path, err := regexp.Compile("^(?s:" + what.Path + ")$")
	if err != nil {
		return nil, err
	}
	world.Lock()
	defer world.Unlock()
	for _, vm := range inv.sortedMachines() {
		if vm.rec.Config.Name == what.VM && !vm.rec.Config.Real {
			one := &copied{record: *vm.rec.copy(), path: path}
			if len(what.Change) > 0 {
				err = strictly(what.Change, &one.record.Config)
			}
			inv.copies = append(inv.copies, one)
			return nil, err
		}
	}
	return nil, fmt.Errorf("no simulated VM %q", what.VM)
}

func unregisterMachine(r *http.Request) (interface{}, error) {
	var what struct {
		VM string `json:"vm"`
	}
	if err := decode(r, &what); err != nil {
		return nil, err
	}
	world.Lock()
	defer world.Unlock()
	n := 0
	for _, vm := range inv.sortedMachines() {
		if matches(what.VM, vm.rec.Config.Name) {
			vm.unregister()
			n++
		}
	}
	return map[string]int{"unregistered": n}, nil
}

// getTrace answers with the entries after ?since=SEQ; with ?wait=SECONDS it waits so long for the first of them.
func getTrace(r *http.Request) (interface{}, error) {
	var since, wait int
	for name, number := range map[string]*int{"since": &since, "wait": &wait} {
		if s := r.URL.Query().Get(name); s != "" {
			var err error
			if *number, err = strconv.Atoi(s); err != nil {
				return nil, err
			}
		}
	}
	trace.await(since, duration(float64(wait)))
	return trace.since(since), nil
}

// stated is a value of the configuration, or its default.
func stated(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// listSnapshots is the simulator's own view of all machines, copied so that it can be encoded without the lock.
func listSnapshots() json.RawMessage {
	type view struct {
		Name                string      `json:"name"`
		Moid                string      `json:"moid"`
		Host                string      `json:"host"`
		Datastore           string      `json:"datastore"`
		VMX                 string      `json:"vmx"`
		Power               string      `json:"power"` // on, off, suspended
		Tools               string      `json:"tools"` // running, not_running, not_installed
		Windows             bool        `json:"windows"`
		Real                bool        `json:"real"`
		Busy                string      `json:"busy,omitempty"` // the task that works on it
		Current             string      `json:"current,omitempty"`
		ConsolidationNeeded bool        `json:"consolidation_needed"`
		Snapshots           []*snapshot `json:"snapshots"`
	}
	world.RLock()
	defer world.RUnlock()
	out := []view{}
	for _, vm := range inv.sortedMachines() {
		v := view{Name: vm.rec.Config.Name, Moid: vm.rec.Moid, Host: vm.host.Name, Datastore: vm.rec.Datastore, Current: vm.rec.Current,
			VMX: vm.vmx(), Power: stated(vm.rec.Config.Power, "on"), Tools: stated(vm.rec.Config.Tools, "running"),
			Windows: vm.windows(), Real: vm.rec.Config.Real,
			ConsolidationNeeded: vm.rec.ConsolidationNeeded, Snapshots: append([]*snapshot{}, vm.rec.Snapshots...)}
		if vm.busy != nil {
			v.Busy = vm.busy.Self.Value
		}
		out = append(out, v)
	}
	raw, _ := json.Marshal(out)
	return raw
}
