// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Privileges: the administrator has all of them, further users those of the role that they have been given on an object or above
// it. Denied ones nobody has, everywhere or on objects whose name matches. Calls that need a privilege that is missing are
// refused, and the authorization manager says so when it is asked. What may be seen is not restricted,
// but for the properties of objects on which System.Read is denied.

type authorization struct {
	simulator.AuthorizationManager
	unlocked
	mu sync.Mutex // guards roles and permissions
}

var authority *authorization

// listPrivileges tells of those that the administrator has: the simulator's own list is empty.
func (a *authorization) listPrivileges() {
	for _, role := range a.RoleList {
		if role.Name != "Admin" {
			continue
		}
		for _, id := range role.Privilege {
			at := strings.LastIndex(id, ".")
			a.PrivilegeList = append(a.PrivilegeList, types.AuthorizationPrivilege{PrivId: id, Name: id[at+1:], PrivGroupName: id[:at]})
		}
	}
}

// principal is a user's name as vCenter keeps it: user@domain is DOMAIN\user.
func principal(name string) string {
	if at := strings.LastIndex(name, "@"); at > 0 {
		return strings.ToUpper(name[at+1:]) + `\` + name[:at]
	}
	return name
}

func (a *authorization) on(entity ref) []types.Permission {
	req := &types.RetrieveEntityPermissions{Entity: entity}
	return a.AuthorizationManager.RetrieveEntityPermissions(req).(*methods.RetrieveEntityPermissionsBody).Res.Returnval
}

// grants looks for the permission that is nearest to the entity: it decides alone.
func (a *authorization) grants(user, privilege string, entity ref) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for at := entity; ; {
		object, ok := simulator.Map.Get(at).(mo.Entity)
		if !ok {
			return false
		}
		for _, p := range a.on(at) {
			if !strings.EqualFold(p.Principal, principal(user)) || (!p.Propagate && at != entity) {
				continue
			}
			for _, role := range a.RoleList {
				for _, id := range role.Privilege {
					if role.RoleId == p.RoleId && id == privilege {
						return true
					}
				}
			}
			return false
		}
		if object.Entity().Parent == nil {
			return false
		}
		at = *object.Entity().Parent
	}
}

type denial struct {
	Privilege string `json:"privilege"`
	Object    string `json:"object"` // regular expression for the entity's name; empty: everywhere
	Whole     bool   `json:"whole"`  // of System.Read: a call that reads the object among others is refused as a whole
}

var denials struct {
	sync.Mutex
	list []denial
}

// needed names the privilege for each call that the lab enforces.
var needed = map[string]string{
	"CreateSnapshot_Task": "VirtualMachine.State.CreateSnapshot", "CreateSnapshotEx_Task": "VirtualMachine.State.CreateSnapshot",
	"RemoveSnapshot_Task": "VirtualMachine.State.RemoveSnapshot", "RemoveAllSnapshots_Task": "VirtualMachine.State.RemoveSnapshot",
	"ConsolidateVMDisks_Task": "VirtualMachine.State.RemoveSnapshot", "RevertToSnapshot_Task": "VirtualMachine.State.RevertToSnapshot",
	"RevertToCurrentSnapshot_Task": "VirtualMachine.State.RevertToSnapshot",
	"PowerOnVM_Task":               "VirtualMachine.Interact.PowerOn", "PowerOffVM_Task": "VirtualMachine.Interact.PowerOff",
	"ShutdownGuest": "VirtualMachine.Interact.PowerOff", "AnswerVM": "VirtualMachine.Interact.AnswerQuestion",
	"RegisterVM_Task": "VirtualMachine.Inventory.Register", "UnregisterVM": "VirtualMachine.Inventory.Unregister",
	"RenameSnapshot": "VirtualMachine.State.RenameSnapshot", "CreateNasDatastore": "Host.Config.Storage", "RemoveDatastore": "Host.Config.Storage",
	"SearchDatastore_Task": "Datastore.Browse", "SearchDatastoreSubFolders_Task": "Datastore.Browse",
	"RenameDatastore": "Datastore.Rename", "AddAuthorizationRole": "Authorization.ModifyRoles",
	"UpdateAuthorizationRole": "Authorization.ModifyRoles", "RemoveAuthorizationRole": "Authorization.ModifyRoles",
	"SetEntityPermissions": "Authorization.ModifyPermissions", "RemoveEntityPermission": "Authorization.ModifyPermissions",
}

// denied looks at the name of the entity only; denials on a folder are not inherited.
func denied(privilege string, entity ref) bool {
	denials.Lock()
	defer denials.Unlock()
	for _, d := range denials.list {
		if d.Privilege == privilege && matches(d.Object, nameOf(entity)) {
			return true
		}
	}
	return false
}

// refusal is the fault of a whole call that reads an entity, nil where the call goes on.
func refusal(entity ref) error {
	denials.Lock()
	defer denials.Unlock()
	for _, d := range denials.list {
		if d.Whole && d.Privilege == "System.Read" && matches(d.Object, nameOf(entity)) {
			return unreadableObject{entity}
		}
	}
	return nil
}

func granted(user, privilege string, entity ref) bool {
	return !denied(privilege, entity) && (user == sessions.user || authority.grants(user, privilege, entity))
}

// nameOf reads a name without world: it is called with and without it held. Machines are looked up by their record.
func nameOf(r ref) string {
	switch o := simulator.Map.Get(r).(type) {
	case *machine:
		return o.rec.Config.Name
	case mo.Entity:
		return o.Entity().Name
	}
	return r.Value
}

// requirement is a privilege that a call needs on an object.
type requirement struct {
	privilege string
	entity    ref
}

// missingPrivilege is vSphere's refusal: it names the privilege and the entity.
func missingPrivilege(user string, m *simulator.Method, object mo.Reference) fault {
	world.RLock()
	defer world.RUnlock()
	for _, r := range requirements(m, object) {
		if !granted(user, r.privilege, r.entity) {
			return &types.NoPermission{Object: r.entity, PrivilegeId: r.privilege}
		}
	}
	return nil
}

// requirements lists what a call needs, by its arguments too.
func requirements(m *simulator.Method, object mo.Reference) (list []requirement) {
	entity := entityOf(m, object)
	if privilege, ok := needed[m.Name]; ok {
		list = append(list, requirement{privilege, entity})
	}
	switch req := m.Body.(type) {
	case *types.RegisterVM_Task:
		if req.Pool != nil {
			list = append(list, requirement{"Resource.AssignVMToPool", *req.Pool})
		}
	case *types.Rename_Task:
		if _, ok := object.(*machine); ok {
			list = append(list, requirement{"VirtualMachine.Config.Rename", entity})
		}
	case *types.RelocateVM_Task:
		if vm, ok := object.(*machine); ok {
			list = append(list, vm.relocateRequirements(&req.Spec)...)
		}
	case *types.DeleteDatastoreFile_Task:
		if ds, _ := fileOf(req.Datacenter, req.Name); ds != nil {
			list = append(list, requirement{"Datastore.FileManagement", ds.Self})
		}
	case *types.ReconfigVM_Task:
		if vm, ok := object.(*machine); ok {
			list = append(list, vm.reconfigureRequirements(&req.Spec)...)
		}
	}
	return list
}

func (vm *machine) relocateRequirements(spec *types.VirtualMachineRelocateSpec) []requirement {
	how := "Resource.ColdMigrate"
	if vm.power() == types.VirtualMachinePowerStatePoweredOn {
		how = "Resource.HotMigrate"
	}
	list := []requirement{{how, vm.Self}}
	if spec.Datastore != nil {
		list = append(list, requirement{"Datastore.AllocateSpace", *spec.Datastore})
	}
	for _, d := range spec.Disk {
		list = append(list, requirement{"Datastore.AllocateSpace", d.Datastore})
	}
	return list
}

// reconfigureRequirements lists what a specification needs: a privilege for each kind of change.
func (vm *machine) reconfigureRequirements(spec *types.VirtualMachineConfigSpec) (list []requirement) {
	need := func(privilege string, wanted bool) {
		if wanted {
			list = append(list, requirement{"VirtualMachine." + privilege, vm.Self})
		}
	}
	need("Config.Rename", spec.Name != "")
	need("Config.Annotation", spec.Annotation != "")
	need("Config.Settings", spec.Uuid != "" || spec.InstanceUuid != "")
	need("Config.ChangeTracking", spec.ChangeTrackingEnabled != nil)
	need("Config.AdvancedConfig", len(spec.ExtraConfig) > 0)
	wanted, f := vm.readSpec(spec)
	if f != nil { // the task fails anyway
		return list
	}
	for _, d := range wanted.disks {
		need("Config.AddExistingDisk", d.operation == "add")
		need("Config.RemoveDisk", d.operation == "remove")
	}
	for _, c := range wanted.cards {
		need("Config.EditDevice", c.operation == "edit")
		need("Config.AddRemoveDevice", c.operation != "edit")
		need("Interact.DeviceConnection", c.operation == "edit" && c.connected != nil)
		if c.moved {
			list = append(list, requirement{"Network.Assign", c.network})
		}
	}
	return list
}

// entityOf is the object of the inventory that a call is about.
func entityOf(m *simulator.Method, object mo.Reference) ref {
	switch req := m.Body.(type) {
	case *types.SetEntityPermissions:
		return req.Entity
	case *types.RemoveEntityPermission:
		return req.Entity
	}
	switch o := object.(type) {
	case *snapshotObject:
		return o.vm.Self
	case *datastoreSystem:
		return o.host.Self
	case *datastoreBrowser:
		return o.ds.Self
	case *authorization:
		return serviceContent().RootFolder
	}
	return object.Reference()
}

// availability is a fault where the entities may not be read.
func availability(user string, entities []ref, privileges []string) (out []types.EntityPrivilege, refused fault) {
	world.RLock()
	defer world.RUnlock()
	for _, e := range entities {
		if !granted(user, "System.Read", e) {
			return nil, &types.NoPermission{Object: e, PrivilegeId: "System.Read"}
		}
		p := types.EntityPrivilege{Entity: e}
		for _, id := range privileges {
			p.PrivAvailability = append(p.PrivAvailability, types.PrivilegeAvailability{PrivId: id, IsGranted: granted(user, id, e)})
		}
		out = append(out, p)
	}
	return out, nil
}

func (a *authorization) HasPrivilegeOnEntities(req *types.HasPrivilegeOnEntities) soap.HasFault {
	user := ""
	if s := sessions.get(req.SessionId); s != nil {
		user = s.UserName
	}
	if inv.esx { // API: implemented by vCenter only
		return &methods.HasPrivilegeOnEntitiesBody{Fault_: soapFault(&types.NotSupported{}, "")}
	}
	found, refused := availability(user, req.Entity, req.PrivId)
	if refused != nil {
		return &methods.HasPrivilegeOnEntitiesBody{Fault_: soapFault(refused, "")}
	}
	return &methods.HasPrivilegeOnEntitiesBody{Res: &types.HasPrivilegeOnEntitiesResponse{Returnval: found}}
}

func (a *authorization) HasUserPrivilegeOnEntities(req *types.HasUserPrivilegeOnEntities) soap.HasFault {
	found, refused := availability(req.UserName, req.Entities, req.PrivId)
	if refused != nil {
		return &methods.HasUserPrivilegeOnEntitiesBody{Fault_: soapFault(refused, "")}
	}
	return &methods.HasUserPrivilegeOnEntitiesBody{Res: &types.HasUserPrivilegeOnEntitiesResponse{Returnval: found}}
}

func (a *authorization) AddAuthorizationRole(req *types.AddAuthorizationRole) soap.HasFault {
	a.mu.Lock()
	defer a.mu.Unlock()
	body := a.AuthorizationManager.AddAuthorizationRole(req).(*methods.AddAuthorizationRoleBody)
	if body.Fault_ == nil { // the simulator's own ids begin at 0 and are not told
		id := int32(1000)
		for _, role := range a.RoleList {
			if role.RoleId >= id {
				id = role.RoleId + 1
			}
		}
		a.RoleList[len(a.RoleList)-1].RoleId = id
		body.Res.Returnval = id
	}
	return body
}

func (a *authorization) UpdateAuthorizationRole(req *types.UpdateAuthorizationRole) soap.HasFault {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.AuthorizationManager.UpdateAuthorizationRole(req)
}

func (a *authorization) RemoveAuthorizationRole(req *types.RemoveAuthorizationRole) soap.HasFault {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := &types.RetrieveRolePermissions{RoleId: req.RoleId}
	used := a.AuthorizationManager.RetrieveRolePermissions(asked).(*methods.RetrieveRolePermissionsBody).Res.Returnval
	if len(used) > 0 && req.FailIfUsed {
		return &methods.RemoveAuthorizationRoleBody{Fault_: soapFault(&types.RemoveFailed{}, "")}
	}
	return a.AuthorizationManager.RemoveAuthorizationRole(req)
}

// SetEntityPermissions adds to what there is, and replaces the same principal's permission.
func (a *authorization) SetEntityPermissions(req *types.SetEntityPermissions) soap.HasFault {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := append([]types.Permission{}, a.on(req.Entity)...)
	for _, p := range req.Permission {
		p.Principal, p.Entity = principal(p.Principal), &req.Entity
		kept := all[:0]
		for _, other := range all {
			if !strings.EqualFold(other.Principal, p.Principal) || other.Group != p.Group {
				kept = append(kept, other)
			}
		}
		all = append(kept, p)
	}
	return a.AuthorizationManager.SetEntityPermissions(&types.SetEntityPermissions{Entity: req.Entity, Permission: all})
}

func (a *authorization) RemoveEntityPermission(req *types.RemoveEntityPermission) soap.HasFault {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := principal(req.User)
	for _, p := range a.on(req.Entity) {
		if strings.EqualFold(p.Principal, name) && p.Group == req.IsGroup {
			return a.AuthorizationManager.RemoveEntityPermission(&types.RemoveEntityPermission{Entity: req.Entity, User: p.Principal, IsGroup: p.Group})
		}
	}
	return &methods.RemoveEntityPermissionBody{Fault_: soapFault(&types.NotFound{}, "")}
}

func (a *authorization) HasPrivilegeOnEntity(req *types.HasPrivilegeOnEntity) soap.HasFault {
	body := a.HasPrivilegeOnEntities(&types.HasPrivilegeOnEntities{Entity: []ref{req.Entity}, SessionId: req.SessionId, PrivId: req.PrivId})
	answer := body.(*methods.HasPrivilegeOnEntitiesBody)
	if answer.Fault_ != nil {
		return &methods.HasPrivilegeOnEntityBody{Fault_: answer.Fault_}
	}
	res := &types.HasPrivilegeOnEntityResponse{}
	for _, p := range answer.Res.Returnval[0].PrivAvailability {
		res.Returnval = append(res.Returnval, p.IsGranted)
	}
	return &methods.HasPrivilegeOnEntityBody{Res: res}
}

func (a *authorization) FetchUserPrivilegeOnEntities(req *types.FetchUserPrivilegeOnEntities) soap.HasFault {
	body := a.AuthorizationManager.FetchUserPrivilegeOnEntities(req).(*methods.FetchUserPrivilegeOnEntitiesBody)
	world.RLock()
	defer world.RUnlock()
	for i, r := range body.Res.Returnval {
		var left []string
		for _, id := range r.Privileges {
			if granted(req.UserName, id, r.Entity) {
				left = append(left, id)
			}
		}
		body.Res.Returnval[i].Privileges = left
	}
	return body
}
