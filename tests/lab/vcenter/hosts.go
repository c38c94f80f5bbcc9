// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// What hosts say of themselves: advanced options, memory, and addresses.

var maxVolumesOptions = []string{"NFS.MaxVolumes", "NFS41.MaxVolumes"}

// hostOptions are a host's advanced options: those of the simulator, and the limit of NFS datastores.
type hostOptions struct {
	mo.OptionManager
	unlocked
	host *host
}

func (h *host) putOptions() {
	old, ok := simulator.Map.Get(*h.ConfigManager.AdvancedOption).(*simulator.OptionManager)
	if !ok {
		return
	}
	o := &hostOptions{OptionManager: old.OptionManager, host: h}
	simulator.Map.Put(o)
	h.options = o
	h.showOptions()
}

// showOptions publishes the limit. Called with world held, or before the first client.
func (h *host) showOptions() {
	if h.options == nil {
		return
	}
	list := []types.BaseOptionValue{}
	for _, option := range h.options.Setting {
		if !strings.HasSuffix(option.GetOptionValue().Key, ".MaxVolumes") {
			list = append(list, option)
		}
	}
	for _, name := range maxVolumesOptions {
		list = append(list, &types.OptionValue{Key: name, Value: h.maxVolumes()})
	}
	h.options.Setting = list
	hub.changed(h.options.Self, "setting")
}

// maxVolumes is how many NFS datastores a host mounts.
func (h *host) maxVolumes() int64 {
	if h.limit > 0 {
		return h.limit
	}
	return behavior.NFSMaxVolumes
}

// QueryOptions lists the options whose names begin so; none is a fault, and so is a host that vCenter does not reach.
func (o *hostOptions) QueryOptions(req *types.QueryOptions) soap.HasFault {
	world.RLock()
	defer world.RUnlock()
	if f := o.host.notConnected(); f != nil {
		return &methods.QueryOptionsBody{Fault_: f}
	}
	res := &types.QueryOptionsResponse{}
	for _, option := range o.Setting {
		if key := option.GetOptionValue().Key; key == req.Name || req.Name == "" || strings.HasSuffix(req.Name, ".") && strings.HasPrefix(key, req.Name) {
			res.Returnval = append(res.Returnval, option)
		}
	}
	if res.Returnval == nil {
		return &methods.QueryOptionsBody{Fault_: soapFault(&types.InvalidName{Name: req.Name}, "")}
	}
	return &methods.QueryOptionsBody{Res: res}
}

// hostAddress is that of all hosts, where the hypervisor stands for them; empty: each has another one.
var hostAddress string

func addressOf(number int) string {
	if hostAddress != "" {
		return hostAddress
	}
	return fmt.Sprintf("198.18.%d.%d", number/250, number%250+1)
}

// setAddresses publishes the addresses of a host's VMkernel adapters.
func (h *host) setAddresses(addresses []string) {
	config := *h.Config
	network := *config.Network
	model := network.Vnic[0]
	network.Vnic = nil
	for i, address := range addresses {
		adapter := model
		adapter.Device, adapter.Key = fmt.Sprintf("vmk%d", i), fmt.Sprintf("key-vim.host.VirtualNic-vmk%d", i)
		adapter.Spec.Ip = &types.HostIpConfig{IpAddress: address, SubnetMask: "255.255.255.0"}
		network.Vnic = append(network.Vnic, adapter)
	}
	config.Network = &network
	update(h.HostSystem, func() { h.Config = &config }, "config")
}

// setMemory publishes how much memory a host has and uses, in MiB. Zero changes nothing.
func (h *host) setMemory(total, used int64) {
	update(h.HostSystem, func() {
		if total > 0 {
			hardware, summary := *h.Hardware, *h.Summary.Hardware
			hardware.MemorySize, summary.MemorySize = total<<20, total<<20
			h.Hardware, h.Summary.Hardware = &hardware, &summary
		}
		if used > 0 {
			h.Summary.QuickStats.OverallMemoryUsage = int32(used)
		}
	}, "hardware", "summary")
}
