// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// The inventory: datacenters, clusters and hosts come from the govmomi simulator's templates; datastores (nfs.go),
// virtual machines (machines.go), snapshots and tasks are the lab's own objects, registered beside them.

type (
	ref   = types.ManagedObjectReference
	fault = types.BaseMethodFault
)

// world guards every object of the lab's own. What a property of such an object points to is never changed in place once
// it was published, only replaced: a reader may go on using (or encoding) it after it has let go of the lock.
var world sync.RWMutex

// unlocked opts an object out of the simulator's own lock per object: the lab's objects are guarded by world instead.
type unlocked struct{}

func (unlocked) Lock()      {}
func (unlocked) Unlock()    {}
func (unlocked) lockWorld() {} // marks what takes the lock by itself

// config is what the -config file holds; README.md describes every field.
type config struct {
	Datacenters     []string          `json:"datacenters"`
	ClusterHosts    int               `json:"cluster_hosts"`
	StandaloneHosts int               `json:"standalone_hosts"`
	Networks        []networkConfig   `json:"networks"` // beside VM Network
	Datastores      []datastoreConfig `json:"datastores"`
	Behavior        json.RawMessage   `json:"behavior"`
}

type networkConfig struct {
	Name        string `json:"name"`
	Datacenter  string `json:"datacenter"`  // default: the first
	Distributed bool   `json:"distributed"` // a port group of the datacenter's distributed switch
}

type datastoreConfig struct {
	Name       string          `json:"name"`
	Datacenter string          `json:"datacenter"` // default: the first
	Type       string          `json:"type"`       // nfs (default), nfs41, local
	Server     string          `json:"server"`
	Servers    []string        `json:"servers"` // nfs41: more than one way to the same export
	Path       string          `json:"path"`
	Access     string          `json:"access"` // readWrite (default), readOnly
	Hosts      []string        `json:"hosts"`  // names of the hosts that mount it; default: all of the datacenter
	VMs        []machineConfig `json:"vms"`
}

// defaultConfig is the inventory when none is given; its NFS datastores lie on datasets of the lab's storage host.
func defaultConfig() *config {
	return &config{
		Datacenters: []string{"DC0"}, ClusterHosts: 3, StandaloneHosts: 1,
		Datastores: []datastoreConfig{
			{Name: "vmware", Server: "10.0.2.15", Path: "/tank/vmware", VMs: []machineConfig{
				{Name: "web", Count: 3}, {Name: "db", Guest: "windows"}, {Name: "archive", Power: "off"},
				{Name: "golden-image", Template: true}}},
			{Name: "nested", Server: "10.0.2.15", Path: "/tank/vmware/nested", VMs: []machineConfig{
				{Name: "app", Count: 2}, {Name: "mail", Guest: "windows"}}},
			{Name: "local", Type: "local", VMs: []machineConfig{{Name: "scratch", Count: 2}}},
		},
	}
}

func readConfig(in io.Reader) (*config, error) {
	c := &config{Datacenters: []string{"DC0"}, ClusterHosts: 3, StandaloneHosts: 1}
	dec := json.NewDecoder(in)
	dec.DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return nil, fmt.Errorf("configuration: %v", err)
	}
	if len(c.Datacenters) == 0 {
		return nil, fmt.Errorf("configuration: at least one datacenter is needed")
	}
	return c, setBehavior(c.Behavior)
}

// strictly reads JSON that has no unknown fields.
func strictly(raw []byte, into interface{}) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// inventory is what the lab knows of its objects beside the simulator's registry. Guarded by world.
type inventory struct {
	esx          bool
	datacenters  []*simulator.Datacenter
	hosts        []*host
	datastores   []*datastore
	machines     map[string]*machine // by managed object ID
	names        map[string]bool     // of machines, by datacenter
	parked       []*record           // unregistered virtual machines, the last one at the end
	copies       []*copied           // files that a registration finds, though nobody has put them there
	places       map[string]ref      // folders, pools and vApps, by parent, kind and name
	nextID       int                 // of virtual machines, datastores and snapshots
	nextTask     int
	lastQuestion int
}

type host struct {
	*simulator.HostSystem
	datacenter  *simulator.Datacenter
	pool        *simulator.ResourcePool
	environment ref
	mounts      *datastoreSystem
	options     *hostOptions
	limit       int64 // of NFS datastores; 0: that of the behavior
}

var inv *inventory

// buildHosts makes everything above datastores and machines, always with the same managed object IDs for the same configuration.
func buildHosts(c *config, o options) error {
	model := simulator.VPX()
	if o.esx {
		model = simulator.ESX()
		c.Datacenters = []string{"ha-datacenter"}
	} else {
		model.Datacenter, model.Portgroup = len(c.Datacenters), c.distributedNetworks()
		model.Cluster, model.ClusterHost, model.Host = 1, c.ClusterHosts, c.StandaloneHosts
		if c.ClusterHosts == 0 {
			model.Cluster = 0
		}
	}
	model.Machine, model.Datastore = 0, 0
	about(&model.ServiceContent.About, o)
	if err := model.Create(); err != nil {
		return err
	}
	inv = &inventory{esx: o.esx, machines: map[string]*machine{}, names: map[string]bool{}, places: map[string]ref{},
		nextID: 1000}
	for i, e := range sorted("Datacenter") {
		dc := e.(*simulator.Datacenter)
		dc.Name = c.Datacenters[i]
		inv.datacenters = append(inv.datacenters, dc)
	}
	for _, e := range sorted("HostSystem") {
		h := &host{HostSystem: e.(*simulator.HostSystem), datacenter: datacenterOf(e)}
		compute := computeResource(h)
		h.pool = simulator.Map.Get(*compute.ResourcePool).(*simulator.ResourcePool)
		h.environment = *compute.EnvironmentBrowser
		h.Runtime.ConnectionState = types.HostSystemConnectionStateConnected
		h.Summary.Host = &h.Self
		h.mounts = &datastoreSystem{host: h}
		h.mounts.Self = *h.ConfigManager.DatastoreSystem
		simulator.Map.Put(h.mounts)
		h.putOptions()
		h.setAddresses([]string{addressOf(len(inv.hosts))})
		inv.hosts = append(inv.hosts, h)
	}
	return addNetworks(c)
}

// about says who is answering. Build numbers are made up; the versions are what clients read.
// A vCenter is the same one as long as it has the same folder of certificates.
func about(a *types.AboutInfo, o options) {
	release := strings.Join(strings.SplitN(o.apiVersion+".0.0", ".", 4)[:3], ".")
	a.ApiVersion, a.Version, a.Build = o.apiVersion, release, "1000000"
	a.FullName = fmt.Sprintf("%s %s build-%s", a.Name, release, a.Build)
	a.LicenseProductVersion = release[:3]
	if a.ApiType == "VirtualCenter" {
		a.InstanceUuid = uuidOf("vcenter " + o.certificates)
	}
}

// populate puts datastores and machines on the hosts: those of the configuration, or what the state file remembers of them.
func populate(c *config, remembered *memory) error {
	if remembered != nil {
		inv.nextID, inv.nextTask = remembered.nextID, remembered.boots*1000000
		for _, rec := range remembered.datastores {
			if err := addDatastore(rec); err != nil {
				return fmt.Errorf("state file: datastore %q: %v", rec.Name, err)
			}
		}
		for _, rec := range remembered.machines {
			if _, err := addMachine(rec); err != nil {
				return fmt.Errorf("state file: VM %q: %v", rec.Config.Name, err)
			}
		}
		return nil
	}
	for i := range c.Datastores {
		if err := addConfiguredDatastore(&c.Datastores[i]); err != nil {
			return fmt.Errorf("datastore %q: %v", c.Datastores[i].Name, err)
		}
	}
	for i := range c.Datastores {
		d := &c.Datastores[i]
		if _, err := deploy(d.Name, d.Datacenter, d.VMs); err != nil {
			return err
		}
	}
	return nil
}

// deploy registers virtual machines on a datastore: what a configuration lists, or what is asked for later. It ends at the first
// that cannot be.
func deploy(datastore, datacenter string, specs []machineConfig) (made []*machine, err error) {
	for _, spec := range specs {
		for n := 0; n < spec.Count || n == 0; n++ {
			one := spec
			one.Count = 0
			if spec.Count > 0 {
				one.Name = numbered(spec.Name, n+1)
			}
			vm, err := addMachine(&record{Config: one, Datastore: datastore, Datacenter: datacenter})
			if err != nil {
				return made, fmt.Errorf("VM %q: %v", one.Name, err)
			}
			made = append(made, vm)
		}
	}
	return made, nil
}

// numbered replaces {n} in a name by the number, or appends it.
func numbered(name string, n int) string {
	number := fmt.Sprintf("%04d", n)
	if strings.Contains(name, "{n}") {
		return strings.ReplaceAll(name, "{n}", number)
	}
	return name + "-" + number
}

// sorted returns the simulator's objects of a kind in the order in which they were made (host-9 before host-21).
func sorted(kind string) []mo.Entity {
	all := simulator.Map.All(kind)
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i].Reference().Value, all[j].Reference().Value
		return len(a) < len(b) || len(a) == len(b) && a < b
	})
	return all
}

func datacenterOf(e mo.Entity) *simulator.Datacenter {
	for e.Reference().Type != "Datacenter" {
		e = simulator.Map.Get(*e.Entity().Parent).(mo.Entity)
	}
	return e.(*simulator.Datacenter)
}

func computeResource(h *host) *mo.ComputeResource {
	switch c := simulator.Map.Get(*h.Parent).(type) {
	case *simulator.ClusterComputeResource:
		return &c.ComputeResource
	case *mo.ComputeResource:
		return c
	}
	panic("a host without a compute resource")
}

func (i *inventory) datacenter(name string) *simulator.Datacenter {
	for _, dc := range i.datacenters {
		if name == "" || dc.Name == name {
			return dc
		}
	}
	return nil
}

func (i *inventory) host(name string) *host {
	for _, h := range i.hosts {
		if h.Name == name || h.Self.Value == name {
			return h
		}
	}
	return nil
}

func (i *inventory) newID() int { i.nextID++; return i.nextID }

// sortedMachines lists the virtual machines in the order in which they were made.
func (i *inventory) sortedMachines() []*machine {
	all := make([]*machine, 0, len(i.machines))
	for _, vm := range i.machines {
		all = append(all, vm)
	}
	sort.Slice(all, func(a, b int) bool { return all[a].number < all[b].number })
	return all
}

// update changes an object of the simulator's own under its lock and tells the property filters.
func update(o mo.Reference, change func(), properties ...string) {
	simulator.Map.WithLock(o, change)
	hub.changed(o.Reference(), properties...)
}

// appended and without never touch the backing array of the list they are given: a reader may still hold it.
func appended(list []ref, r ref) []ref { return append(list[:len(list):len(list)], r) }

func without(list []ref, r ref) []ref {
	var left []ref
	for _, x := range list {
		if x != r {
			left = append(left, x)
		}
	}
	return left
}

func contains(list []ref, r ref) bool {
	for _, x := range list {
		if x == r {
			return true
		}
	}
	return false
}

// escaped is how vSphere gives back a name: the three characters that have a meaning in inventory paths are escaped.
func escaped(name string) string {
	return strings.NewReplacer("%", "%25", "/", "%2f", "\\", "%5c").Replace(name)
}

// unescaped is the name behind what a client sends.
func unescaped(name string) string {
	return strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", "\\", "%5C", "\\", "%25", "%").Replace(name)
}

// uuidOf makes the same UUID of the same text at every start.
func uuidOf(text string) string {
	h := sha1.Sum([]byte(text))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func serviceContent() types.ServiceContent {
	return simulator.Map.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content
}
