// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Where administrators put machines: folders, resource pools and vApps, which are made where they are missing and stay. And
// custom attributes: their definitions are made with the first machine that has one.

// place is where a machine is. In a vApp it has no folder, and the vApp is its pool.
type place struct{ folder, vapp, pool ref }

const firstAttribute = 101 // the key of the first custom attribute

// findPlace finds or makes the place that is configured.
func (vm *machine) findPlace() (place, error) {
	c := &vm.rec.Config
	folder, pool := vm.datacenter.VmFolder, vm.host.pool.Self
	for _, name := range parts(c.Folder) {
		folder = child(folder, "Folder", name, makeFolder)
	}
	for _, name := range parts(c.ResourcePool) {
		pool = child(pool, "ResourcePool", name, makePool)
	}
	if c.VApp == "" {
		return place{folder: folder, pool: pool}, nil
	}
	if inv.esx {
		return place{}, fmt.Errorf("the lab's ESXi host has no vApps")
	}
	vapp := child(pool, "VirtualApp", c.VApp, func(parent ref, name string) ref { return makeVApp(parent, name, folder) })
	return place{vapp: vapp, pool: vapp}, nil
}

// parts are the names in a path, encoded as vSphere has them: %2f is a "/" in a name.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func child(parent ref, kind, name string, make func(ref, string) ref) ref {
	key := parent.Value + "/" + kind + "/" + name
	if _, ok := inv.places[key]; !ok {
		if found := childNamed(parent, kind, name); found != nil {
			return *found
		}
		inv.places[key] = make(parent, name)
	}
	return inv.places[key]
}

// childNamed finds what a client has made.
func childNamed(parent ref, kind, name string) *ref {
	var list []ref
	switch o := simulator.Map.Get(parent).(type) {
	case *simulator.Folder:
		list = o.ChildEntity
	case *simulator.ResourcePool, *simulator.VirtualApp:
		list = poolOf(o).ResourcePool
	}
	for _, r := range list {
		if e, ok := simulator.Map.Get(r).(mo.Entity); ok && r.Type == kind && e.Entity().Name == name {
			return &ref{Type: r.Type, Value: r.Value}
		}
	}
	return nil
}

// pathBelow is the path of an object below another one, as the configuration has it; false if it is not below it.
func pathBelow(object, above ref) (string, bool) {
	var names []string
	for object != above {
		e, ok := simulator.Map.Get(object).(mo.Entity)
		if !ok || e.Entity().Parent == nil {
			return "", false
		}
		names = append([]string{e.Entity().Name}, names...)
		object = *e.Entity().Parent
	}
	return strings.Join(names, "/"), true
}

func makeFolder(parent ref, name string) ref {
	above := simulator.Map.Get(parent).(*simulator.Folder)
	folder := &simulator.Folder{}
	folder.Name, folder.ChildType = name, above.ChildType
	simulator.Map.PutEntity(above, folder)
	update(above, func() { above.ChildEntity = appended(above.ChildEntity, folder.Self) }, "childEntity")
	return folder.Self
}

func makePool(parent ref, name string) ref {
	above := simulator.Map.Get(parent)
	pool := simulator.NewResourcePool()
	pool.Name, pool.Owner, pool.Vm, pool.ResourcePool.ResourcePool = name, poolOf(above).Owner, nil, nil
	return putPool(above, simulator.Map.NewEntity(pool))
}

func makeVApp(parent ref, name string, folder ref) ref {
	above := simulator.Map.Get(parent)
	vapp := &simulator.VirtualApp{}
	vapp.ResourcePool = simulator.NewResourcePool().ResourcePool
	vapp.Self = ref{Type: "VirtualApp"}
	vapp.Name, vapp.Owner, vapp.Vm, vapp.ResourcePool.ResourcePool = name, poolOf(above).Owner, nil, nil
	vapp.ParentFolder = &folder
	return putPool(above, vapp)
}

func putPool(above mo.Reference, made mo.Entity) ref {
	simulator.Map.PutEntity(above.(mo.Entity), made)
	pool := poolOf(above)
	update(above, func() { pool.ResourcePool = appended(pool.ResourcePool, made.Reference()) }, "resourcePool")
	return made.Reference()
}

// poolOf is the pool part of a resource pool or a vApp.
func poolOf(o mo.Reference) *mo.ResourcePool {
	switch p := o.(type) {
	case *simulator.ResourcePool:
		return &p.ResourcePool
	case *simulator.VirtualApp:
		return &p.ResourcePool
	}
	panic("not a pool: " + o.Reference().Value)
}

// list puts a machine into the lists of its folder and its pool, or takes it out of them.
func (p place) list(change func([]ref, ref) []ref, vm ref) {
	if p.folder.Value != "" {
		folder := simulator.Map.Get(p.folder).(*simulator.Folder)
		update(folder, func() { folder.ChildEntity = change(folder.ChildEntity, vm) }, "childEntity")
	}
	object := simulator.Map.Get(p.pool)
	pool := poolOf(object)
	update(object, func() { pool.Vm = change(pool.Vm, vm) }, "vm")
}

func (p place) enter(vm ref) { p.list(appended, vm) }
func (p place) leave(vm ref) { p.list(without, vm) }

func optional(r ref) *ref {
	if r.Value == "" {
		return nil
	}
	return &r
}

// attributes are the values of custom attributes, in order, so that nothing seems to have changed.
func attributes(values map[string]string) (list []types.BaseCustomFieldValue, err error) {
	if inv.esx && len(values) > 0 {
		return nil, fmt.Errorf("an ESXi host has no custom attributes")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		list = append(list, &types.CustomFieldStringValue{CustomFieldValue: types.CustomFieldValue{Key: attributeKey(name)}, Value: values[name]})
	}
	return list, nil
}

func attributeKey(name string) int32 {
	manager := simulator.Map.CustomFieldsManager()
	for _, field := range manager.Field {
		if field.Name == name {
			return field.Key
		}
	}
	key := int32(firstAttribute + len(manager.Field))
	def := types.CustomFieldDef{Key: key, Name: name, Type: "string", ManagedObjectType: "VirtualMachine"}
	update(manager, func() { manager.Field = append(manager.Field[:len(manager.Field):len(manager.Field)], def) }, "field")
	return key
}
