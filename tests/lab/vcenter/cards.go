// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Network cards, of simulated and of real machines, and the networks that they are connected to.

type card struct {
	Key            int32  `json:"key,omitempty"`             // default: 4000 and up
	Network        string `json:"network,omitempty"`         // default: VM Network
	Portgroup      string `json:"portgroup,omitempty"`       // a distributed one, by its managed object ID, in place of the network
	MAC            string `json:"mac,omitempty"`             // default: made up
	MACType        string `json:"mac_type,omitempty"`        // assigned (default), generated, manual
	Adapter        string `json:"adapter,omitempty"`         // vmxnet3 (default), e1000
	StartConnected *bool  `json:"start_connected,omitempty"` // default: true
}

const firstCard = 4000

func (c card) startsConnected() bool { return c.StartConnected == nil || *c.StartConnected }

// cards are those in the files of a real machine or in the configuration: of a snapshot or (nil) of the machine now.
func (vm *machine) cards(s *snapshot) []card {
	if vm.rec.Files != nil {
		return vm.rec.Files.hardwareAt(s).Cards
	}
	if s != nil && s.Kept != nil {
		return s.Kept.Cards
	}
	return vm.rec.Config.Cards
}

// completeCards gives every card what it lacks, so that it stays the same from now on.
func completeCards(cards []card, seed string) ([]card, error) {
	made := append([]card{}, cards...)
	for i := range made {
		c := &made[i]
		if c.Key == 0 {
			c.Key = firstCard + int32(i)
		}
		if c.Network == "" && c.Portgroup == "" {
			c.Network = "VM Network"
		}
		if c.MACType == "" {
			c.MACType = "assigned"
		}
		if c.MAC == "" {
			c.MAC = macOf(fmt.Sprintf("%s %d", seed, c.Key))
		}
		switch c.MACType {
		case "assigned", "generated", "manual":
		default:
			return nil, fmt.Errorf("unknown type of MAC address %q", c.MACType)
		}
	}
	return made, nil
}

// macOf makes the same address of the same text.
func macOf(text string) string {
	digits := uuidOf("mac " + text)
	return fmt.Sprintf("00:50:56:8%s:%s:%s", digits[1:2], digits[2:4], digits[4:6])
}

// isConnected is whether a card of a running machine is connected: since the last change, or since the power-on.
func (vm *machine) isConnected(c card) bool {
	if vm.power() != types.VirtualMachinePowerStatePoweredOn {
		return false
	}
	if connected, ok := vm.rec.Plugged[c.Key]; ok {
		return connected
	}
	return c.startsConnected()
}

func (vm *machine) cardDevice(c card, number int) types.BaseVirtualDevice {
	var made types.BaseVirtualEthernetCard
	if c.Adapter == "e1000" {
		made = &types.VirtualE1000{}
	} else {
		made = &types.VirtualVmxnet3{}
	}
	e := made.GetVirtualEthernetCard()
	e.Key, e.ControllerKey, e.UnitNumber = c.Key, 100, types.NewInt32(int32(6+number))
	e.MacAddress, e.AddressType = c.MAC, c.MACType
	e.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: c.startsConnected(), AllowGuestControl: true,
		Connected: vm.isConnected(c), Status: "untried"}
	summary := c.Network
	e.Backing, summary = vm.cardBacking(c)
	e.DeviceInfo = &types.Description{Label: fmt.Sprintf("Network adapter %d", number), Summary: summary}
	return made.(types.BaseVirtualDevice)
}

func (vm *machine) cardBacking(c card) (types.BaseVirtualDeviceBackingInfo, string) {
	if c.Portgroup != "" {
		port := types.DistributedVirtualSwitchPortConnection{PortgroupKey: c.Portgroup}
		if group, ok := simulator.Map.Get(ref{Type: "DistributedVirtualPortgroup", Value: c.Portgroup}).(*simulator.DistributedVirtualPortgroup); ok {
			if dvs, ok := simulator.Map.Get(*group.Config.DistributedVirtualSwitch).(*simulator.DistributedVirtualSwitch); ok {
				port.SwitchUuid = dvs.Uuid
			}
		}
		return &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{Port: port}, "DVSwitch: " + port.SwitchUuid
	}
	backing := &types.VirtualEthernetCardNetworkBackingInfo{VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: c.Network}}
	backing.Network = findNetwork(vm.datacenter, c.Network)
	return backing, c.Network
}

// findNetwork is nil for a network that is not there, as in a machine from elsewhere.
func findNetwork(dc *simulator.Datacenter, name string) *ref {
	for _, r := range dc.Network {
		if network, ok := simulator.Map.Get(r).(mo.Entity); ok && network.Entity().Name == name {
			return &ref{Type: r.Type, Value: r.Value}
		}
	}
	return nil
}

// networks lists the networks of the cards.
func (vm *machine) networks() (list []ref) {
	for _, c := range vm.cards(nil) {
		r := findNetwork(vm.datacenter, c.Network)
		if c.Portgroup != "" {
			r = &ref{Type: "DistributedVirtualPortgroup", Value: c.Portgroup}
		}
		if r != nil && !contains(list, *r) {
			list = append(list, *r)
		}
	}
	return list
}

// distributedNetworks is the number of port groups that the simulator makes in each datacenter.
func (c *config) distributedNetworks() (n int) {
	for _, network := range c.Networks {
		if network.Distributed {
			n++
		}
	}
	return n
}

// addNetworks makes the networks of the configuration, in addition to VM Network.
func addNetworks(c *config) error {
	for _, n := range c.Networks {
		dc := inv.datacenter(n.Datacenter)
		if dc == nil {
			return fmt.Errorf("network %q: no datacenter %q", n.Name, n.Datacenter)
		}
		if findNetwork(dc, n.Name) != nil {
			return fmt.Errorf("network %q: the name is taken", n.Name)
		}
		if !n.Distributed {
			addNetwork(dc, n.Name)
		} else if !namePortgroup(dc, n.Name) {
			return fmt.Errorf("network %q: an ESXi host has no distributed switch", n.Name)
		}
	}
	return nil
}

// addNetwork makes a standard network, which all hosts of the datacenter have.
func addNetwork(dc *simulator.Datacenter, name string) {
	folder := simulator.Map.Get(dc.NetworkFolder).(*simulator.Folder)
	network := &mo.Network{}
	network.Name, network.Entity().Name = name, name
	network.Summary = &types.NetworkSummary{Name: name, Accessible: true}
	simulator.Map.PutEntity(folder, network)
	folder.ChildEntity = appended(folder.ChildEntity, network.Self)
	dc.Network = appended(dc.Network, network.Self)
	for _, h := range inv.hosts {
		if h.datacenter == dc {
			h.HostSystem.Network = appended(h.HostSystem.Network, network.Self)
			network.Host = append(network.Host, h.Self)
		}
	}
}

// namePortgroup names the first port group that the simulator has made and that has no name of the configuration yet.
func namePortgroup(dc *simulator.Datacenter, name string) bool {
	for _, r := range dc.Network {
		group, ok := simulator.Map.Get(r).(*simulator.DistributedVirtualPortgroup)
		if ok && strings.Contains(group.Name, "_DVPG") {
			group.Name, group.Config.Name, group.Entity().Name = name, name, name
			return true
		}
	}
	return false
}
