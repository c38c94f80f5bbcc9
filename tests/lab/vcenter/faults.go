// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Rules say which calls and tasks go wrong, and how. They are set while the simulator runs (control.go); the first rule
// that matches and is not used up is the one.

// rule is the body of POST /_ctl/rules. README.md shows each effect by example.
type rule struct {
	ID       int             `json:"id"`
	Method   string          `json:"method"`            // regular expression, anchored; empty: any
	VM       string          `json:"vm"`                // the same for the name of the VM (or of the object that the call is made on)
	Quiesce  *bool           `json:"quiesce,omitempty"` // only calls that ask for quiescing, or only those that do not
	Effect   string          `json:"effect"`
	Fault    string          `json:"fault,omitempty"`       // a vSphere fault's type: ApplicationQuiesceFault
	Message  string          `json:"message,omitempty"`     // its localized message
	Fields   json.RawMessage `json:"fields,omitempty"`      // its fields, by their Go names
	Seconds  *float64        `json:"seconds,omitempty"`     // how long the task takes, or the call waits
	Progress int             `json:"progress,omitempty"`    // percent at which task_fault strikes
	Status   int             `json:"status,omitempty"`      // of http_status
	Carried  *bool           `json:"carried_out,omitempty"` // task_vanish: whether its work is done; default true
	Skip     int             `json:"skip,omitempty"`        // so many matches are let through first
	Count    int             `json:"count,omitempty"`       // so many are hit (0: all)
	Hits     int             `json:"hits"`
	Passed   int             `json:"passed,omitempty"`

	method, vm *regexp.Regexp
}

// effects: true for those of the call itself, false for those of the task that the call starts.
var effects = map[string]bool{
	"task_slow": false, "task_fault": false, "task_hang": false, "task_vanish": false, "half_snapshot": false, "needs_consolidation": false,
	"call_delay": true, "call_late": true, "call_fault": true, "drop_before": true, "drop_after": true, "http_status": true, "malformed": true, "truncated": true,
	"black_hole": true, "endless": true,
}

type ruleBook struct {
	sync.Mutex
	rules  []*rule
	lastID int
	clear  chan struct{} // closed when the rules are cleared: black holes let go, late calls are carried out
}

var faults = ruleBook{clear: make(chan struct{})}

func (b *ruleBook) add(r *rule) (err error) {
	if _, ok := effects[r.Effect]; !ok {
		return fmt.Errorf("unknown effect %q", r.Effect)
	}
	if r.Fault != "" && newFault(r.Fault) == nil {
		return fmt.Errorf("vSphere has no fault %q", r.Fault)
	}
	if r.Fault == "" && (r.Effect == "task_fault" || r.Effect == "call_fault" || r.Effect == "half_snapshot") {
		return fmt.Errorf("the effect %s needs a fault", r.Effect)
	}
	if len(r.Fields) > 0 {
		if err = json.Unmarshal(r.Fields, newFault(r.Fault)); err != nil {
			return fmt.Errorf("fields: %v", err)
		}
	}
	if r.method, err = regexp.Compile("^(?s:" + r.Method + ")$"); err != nil {
		return err
	}
	if r.vm, err = regexp.Compile("^(?s:" + r.VM + ")$"); err != nil {
		return err
	}
	b.Lock()
	defer b.Unlock()
	b.lastID++
	r.ID, r.Hits, r.Passed = b.lastID, 0, 0
	b.rules = append(b.rules, r)
	return nil
}

// remove deletes one rule, or all (id 0).
func (b *ruleBook) remove(id int) {
	b.Lock()
	defer b.Unlock()
	var left []*rule
	for _, r := range b.rules {
		if id != 0 && r.ID != id {
			left = append(left, r)
		}
	}
	b.rules = left
	if id == 0 {
		close(b.clear)
		b.clear = make(chan struct{})
	}
}

func (b *ruleBook) cleared() chan struct{} {
	b.Lock()
	defer b.Unlock()
	return b.clear
}

// list returns copies, so that they can be encoded without the lock.
func (b *ruleBook) list() []rule {
	b.Lock()
	defer b.Unlock()
	out := []rule{}
	for _, r := range b.rules {
		out = append(out, *r)
	}
	return out
}

// take returns the rule for a call (ofCall) or for the task that it starts, and counts the hit; or nil.
func (b *ruleBook) take(method, name string, ofCall bool, args map[string]interface{}) *rule {
	b.Lock()
	defer b.Unlock()
	for _, r := range b.rules {
		if effects[r.Effect] != ofCall || r.Count > 0 && r.Hits >= r.Count ||
			r.Method != "" && !r.method.MatchString(method) || r.VM != "" && !r.vm.MatchString(name) ||
			r.Quiesce != nil && args["quiesce"] != *r.Quiesce {
			continue
		}
		if r.Passed < r.Skip {
			r.Passed++
			continue
		}
		r.Hits++
		return r
	}
	return nil
}

func (r *rule) carriedOut() bool { return r.Carried == nil || *r.Carried }

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// fault makes the rule's fault, about the object on.
func (r *rule) fault(on ref) fault {
	f := newFault(r.Fault)
	fillReferences(reflect.ValueOf(f).Elem(), on)
	if len(r.Fields) > 0 {
		_ = json.Unmarshal(r.Fields, f)
	}
	return f
}

func newFault(kind string) fault {
	if t, ok := types.TypeFunc()(kind); ok {
		if f, ok := reflect.New(t).Interface().(fault); ok {
			return f
		}
	}
	return nil
}

// fillReferences names the object wherever a fault needs one: clients refuse an empty reference.
func fillReferences(v reflect.Value, on ref) {
	for i := 0; i < v.NumField(); i++ {
		if f := v.Field(i); f.Type() == reflect.TypeOf(on) {
			f.Set(reflect.ValueOf(on))
		} else if v.Type().Field(i).Anonymous && f.Kind() == reflect.Struct {
			fillReferences(f, on)
		}
	}
}

func kindOf(f fault) string { return typeName(f) }

func typeName(pointer interface{}) string { return reflect.TypeOf(pointer).Elem().Name() }

// messages are the texts that vSphere gives with the faults that the simulator raises by itself.
var messages = map[string]string{
	"ManagedObjectNotFound":          "The object has already been deleted or has not been completely created",
	"NotAuthenticated":               "The session is not authenticated.",
	"InvalidLogin":                   "Cannot complete login due to an incorrect user name or password.",
	"NoPermission":                   "Permission to perform this operation was denied.",
	"TaskInProgress":                 "Another task is already in progress.",
	"TooManySnapshotLevels":          "Snapshot hierarchy is too deep.",
	"SnapshotIncompatibleDeviceInVm": "An error occurred while taking a snapshot: the virtual machine has a device that does not support it.",
	"SnapshotDisabled":               "Snapshots are disabled for the virtual machine.",
	"ResourceInUse":                  "The resource is in use.",
	"RequestCanceled":                "The task was canceled by a user.",
	"NotSupported":                   "The operation is not supported on the object.",
	"DuplicateName":                  "The specified key, name, or identifier already exists.",
	"ApplicationQuiesceFault":        "An error occurred while quiescing the virtual machine. See the virtual machine's event log for details.",
}

func messageOf(f fault, message string) string {
	if message != "" {
		return message
	}
	if said := f.GetMethodFault().FaultMessage; len(said) > 0 && said[0].Message != "" {
		return said[0].Message
	}
	if text, ok := messages[kindOf(f)]; ok {
		return text
	}
	return "A " + kindOf(f) + " fault occurred."
}

func soapFault(f fault, message string) *soap.Fault {
	s := &soap.Fault{Code: "ServerFaultCode", String: messageOf(f, message)}
	s.Detail.Fault = f
	return s
}
