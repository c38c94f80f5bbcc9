// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"sync"
	"time"
)

// The trace tells in order what happened: every API call, and the life of every task. The statistics beside it count.

type traceEntry struct {
	Seq        int                    `json:"seq"`
	Time       float64                `json:"time"`            // Unix time; never runs backwards
	Kind       string                 `json:"kind"`            // call or task
	Event      string                 `json:"event,omitempty"` // of a task: queued, started, finished, vanished
	Method     string                 `json:"method"`
	Object     string                 `json:"object,omitempty"`
	ObjectName string                 `json:"object_name,omitempty"`
	VM         string                 `json:"vm,omitempty"`
	VMName     string                 `json:"vm_name,omitempty"`
	Host       string                 `json:"host,omitempty"`
	Session    string                 `json:"session,omitempty"`
	User       string                 `json:"user,omitempty"`
	Args       map[string]interface{} `json:"args,omitempty"`
	Task       string                 `json:"task,omitempty"`
	Snapshot   string                 `json:"snapshot,omitempty"`
	SnapshotID int32                  `json:"snapshot_id,omitempty"` // of a creation: the number in the .vmsd file
	Quiesced   *bool                  `json:"quiesced,omitempty"`
	Fault      string                 `json:"fault,omitempty"` // of a call: what it was answered with; of a task: its error
	Rule       int                    `json:"rule,omitempty"`
	Effect     string                 `json:"effect,omitempty"`
	Done       float64                `json:"done,omitempty"` // when the call was answered; absent: not yet
}

type tracer struct {
	sync.Mutex
	entries []*traceEntry
	seq     int
	start   time.Time     // carries the monotonic clock
	grown   chan struct{} // closed, and made anew, with each entry
	file    *os.File
}

var trace = tracer{start: time.Now(), grown: make(chan struct{})}

func (t *tracer) now() float64 {
	return float64(t.start.UnixNano())/1e9 + time.Since(t.start).Seconds()
}

func (t *tracer) open(path string) (err error) {
	if path != "" {
		t.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0600)
	}
	return err
}

func (t *tracer) add(e *traceEntry) {
	t.Lock()
	defer t.Unlock()
	t.seq++
	e.Seq, e.Time = t.seq, t.now()
	t.entries = append(t.entries, e)
	close(t.grown)
	t.grown = make(chan struct{})
	if e.Kind == "task" {
		t.write(e)
	}
}

// write appends to the trace file: a task's entry at once, a call's when it is answered.
func (t *tracer) write(e *traceEntry) {
	if t.file != nil {
		line, _ := json.Marshal(e)
		_, _ = t.file.Write(append(line, '\n'))
	}
}

func (t *tracer) done(e *traceEntry, faultKind string) {
	t.Lock()
	defer t.Unlock()
	e.Done = t.now()
	if e.Fault == "" {
		e.Fault = faultKind
	}
	t.write(e)
}

func (t *tracer) hit(e *traceEntry, r *rule) {
	t.Lock()
	defer t.Unlock()
	e.Rule, e.Effect = r.ID, r.Effect
}

// task notes a step in a task's life. Called with world held.
func (t *tracer) task(event string, k *task, faultKind string) {
	e := &traceEntry{Kind: "task", Event: event, Method: k.method, VMName: k.name, Host: k.hostName,
		Task: k.Self.Value, Snapshot: k.snapshot, SnapshotID: k.snapshotID, Quiesced: k.quiesced, Fault: faultKind}
	if e.VM = k.registered; k.vm != nil {
		e.VM, e.VMName = k.vm.rec.Moid, k.vm.rec.Config.Name
	}
	if k.rule != nil {
		e.Rule, e.Effect = k.rule.ID, k.rule.Effect
	}
	t.add(e)
}

// await returns once there is an entry after a sequence number, or the time is over.
func (t *tracer) await(seq int, d time.Duration) {
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		t.Lock()
		last, grown := t.seq, t.grown
		t.Unlock()
		if last > seq {
			return
		}
		select {
		case <-grown:
		case <-over.C:
			return
		}
	}
}

// since returns copies of the entries after a sequence number.
func (t *tracer) since(seq int) []traceEntry {
	t.Lock()
	defer t.Unlock()
	out := []traceEntry{}
	for _, e := range t.entries {
		if e.Seq > seq {
			out = append(out, *e)
		}
	}
	return out
}

func (t *tracer) reset() {
	t.Lock()
	defer t.Unlock()
	t.entries = nil
}

// ---- Statistics

type counts struct {
	sync.Mutex
	Calls map[string]int            `json:"calls"`    // per method
	Now   map[string]int            `json:"running"`  // tasks per method
	Most  map[string]int            `json:"most"`     // tasks at once, per method, and "all"
	Hosts map[string]map[string]int `json:"per_host"` // the same for each host
	now   map[string]map[string]int
}

var stats counts

func (c *counts) reset() {
	c.Lock()
	defer c.Unlock()
	c.Calls, c.Most, c.Hosts = map[string]int{}, map[string]int{}, map[string]map[string]int{}
	if c.Now == nil {
		c.Now, c.now = map[string]int{}, map[string]map[string]int{}
	}
}

func (c *counts) call(method string) {
	c.Lock()
	defer c.Unlock()
	c.Calls[method]++
}

func (c *counts) begin(method, host string) {
	c.Lock()
	defer c.Unlock()
	if c.now[host] == nil {
		c.now[host] = map[string]int{}
	}
	if c.Hosts[host] == nil {
		c.Hosts[host] = map[string]int{}
	}
	for _, key := range []string{method, "all"} {
		c.Now[key]++
		c.now[host][key]++
		c.Most[key] = max(c.Most[key], c.Now[key])
		c.Hosts[host][key] = max(c.Hosts[host][key], c.now[host][key])
	}
}

func (c *counts) end(method, host string) {
	c.Lock()
	defer c.Unlock()
	for _, key := range []string{method, "all"} {
		c.Now[key]--
		c.now[host][key]--
	}
}

func (c *counts) json() json.RawMessage {
	c.Lock()
	defer c.Unlock()
	raw, _ := json.Marshal(c)
	return raw
}
