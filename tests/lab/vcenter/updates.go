// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Waiting for updates. Nothing is lost, because a filter keeps what it last reported and compares with the present state:
// a change only marks an object as worth a look. It stays cheap with thousands of tasks, because a change finds the filters
// that watch the object by a map, and a filter looks at marked objects only.

// hub knows who watches what. Its lock is taken last of all: whoever holds it takes no other.
var hub = &watchers{objects: map[ref]map[*filter]bool{}, collectors: map[string]map[*collector]bool{}}

type watchers struct {
	sync.Mutex
	objects    map[ref]map[*filter]bool
	collectors map[string]map[*collector]bool // by session
}

// changed marks an object in the filters that watch it; without properties, all of them may have changed.
func (h *watchers) changed(obj ref, properties ...string) {
	h.Lock()
	defer h.Unlock()
	for f := range h.objects[obj] {
		f.mark(obj, properties)
	}
}

// allChanged marks everything: who may read what is another matter now.
func (h *watchers) allChanged() {
	h.Lock()
	defer h.Unlock()
	for obj, filters := range h.objects {
		for f := range filters {
			f.mark(obj, nil)
		}
	}
}

// watch replaces what a filter watches.
func (h *watchers) watch(f *filter, objects map[ref]bool) {
	h.Lock()
	defer h.Unlock()
	for obj := range f.watching {
		if !objects[obj] {
			delete(h.objects[obj], f)
			if len(h.objects[obj]) == 0 {
				delete(h.objects, obj)
			}
		}
	}
	for obj := range objects {
		if h.objects[obj] == nil {
			h.objects[obj] = map[*filter]bool{}
		}
		h.objects[obj][f] = true
	}
	f.watching = objects
}

// forget drops all that a session watched.
func (h *watchers) forget(session string) {
	h.Lock()
	list := h.collectors[session]
	delete(h.collectors, session)
	h.Unlock()
	for c := range list {
		for _, f := range c.list() {
			h.watch(f, nil)
		}
	}
}

// bridge tells the hub of changes to the simulator's own objects.
type bridge struct{ mo.SearchIndex }

func (bridge) PutObject(mo.Reference) {}
func (bridge) RemoveObject(obj ref)   { hub.changed(obj) }
func (bridge) UpdateObject(o mo.Reference, changes []types.PropertyChange) {
	for _, c := range changes {
		hub.changed(o.Reference(), c.Name)
	}
}

type collector struct {
	mo.PropertyCollector
	unlocked
	session string
	wake    chan struct{}

	mu      sync.Mutex // held while updates are computed, not while waiting
	filters []*filter
	queue   []queued         // computed, not yet delivered (maxObjectUpdates)
	version int              // of the last answer
	last    *types.UpdateSet // the last answer, for a client that did not get it
	waiting chan struct{}    // closed to send away whoever waits: a later wait, or a cancel
	marked  map[*filter]bool // guarded by hub
}

type queued struct {
	filter  ref
	update  *types.ObjectUpdate
	missing *types.MissingObject
}

type filter struct {
	mo.PropertyFilter
	unlocked
	collector *collector
	via       map[ref]bool                   // what the traversals went through
	reported  map[ref]map[string]interface{} // the members, and the values last reported
	told      map[ref]bool                   // of missing objects the client was told

	// guarded by hub
	watching map[ref]bool
	changes  map[ref][]string // nil list: anything
	fresh    bool             // look for members (anew)
}

func newCollector(session string, self ref) *collector {
	c := &collector{session: session, wake: make(chan struct{}, 1), marked: map[*filter]bool{}}
	c.Self = self
	hub.Lock()
	defer hub.Unlock()
	if hub.collectors[session] == nil {
		hub.collectors[session] = map[*collector]bool{}
	}
	hub.collectors[session][c] = true
	return c
}

func (c *collector) list() []*filter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*filter{}, c.filters...)
}

// mark is called with hub held.
func (f *filter) mark(obj ref, properties []string) {
	if old, ok := f.changes[obj]; ok && old == nil || len(properties) == 0 {
		f.changes[obj] = nil
	} else {
		f.changes[obj] = append(old, properties...)
	}
	f.signal()
}

func (f *filter) signal() {
	f.collector.marked[f] = true
	select {
	case f.collector.wake <- struct{}{}:
	default:
	}
}

// related: a change of runtime or runtime.powerState.x concerns runtime.powerState.
func related(path string, changed []string) bool {
	if changed == nil {
		return true
	}
	for _, c := range changed {
		if c == path || strings.HasPrefix(c, path+".") || strings.HasPrefix(path, c+".") {
			return true
		}
	}
	return false
}

// compute appends to the queue what is new in the filters that were marked.
func (c *collector) compute(s *simulator.Session) error {
	hub.Lock()
	marked := c.marked
	c.marked = map[*filter]bool{}
	hub.Unlock()
	if len(marked) == 0 {
		return nil
	}
	world.RLock()
	defer world.RUnlock()
	for _, f := range c.filters { // in the order of their creation
		if marked[f] {
			if err := f.compute(reader{s}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *filter) compute(r reader) error {
	hub.Lock()
	changes, fresh := f.changes, f.fresh
	f.changes, f.fresh = map[ref][]string{}, false
	hub.Unlock()
	for obj := range changes {
		fresh = fresh || f.via[obj]
	}
	if fresh {
		s, err := r.selectObjects(&f.Spec)
		if err != nil {
			return err
		}
		f.via = s.visited
		watch := map[ref]bool{}
		for obj := range s.visited {
			watch[obj] = true
		}
		for _, obj := range s.members {
			watch[obj] = true
		}
		hub.watch(f, watch)
		for _, obj := range s.missing {
			f.gone(obj)
		}
		for obj := range f.reported {
			if !s.seen[obj] {
				f.leave(obj)
			}
		}
		for _, obj := range s.members {
			if f.reported[obj] == nil {
				if err := f.look(r, obj, nil); err != nil {
					return err
				}
				delete(changes, obj)
			}
		}
	}
	for obj, properties := range changes {
		if f.reported[obj] != nil {
			if err := f.look(r, obj, properties); err != nil {
				return err
			}
		}
	}
	return nil
}

// notReadable stands for the value of a property that the client was told it may not read.
type notReadable struct{}

// look compares an object with what was last reported of it.
func (f *filter) look(r reader, obj ref, changed []string) error {
	v, ok := r.value(obj)
	if !ok {
		f.leave(obj)
		f.gone(obj)
		return nil
	}
	paths, about := r.paths(v, &f.Spec)
	if !about {
		return nil
	}
	old, known := f.reported[obj]
	update := &types.ObjectUpdate{Obj: obj, Kind: types.ObjectUpdateKindModify}
	if !known {
		update.Kind = types.ObjectUpdateKindEnter
		old = map[string]interface{}{}
		f.reported[obj] = old
	}
	err := refusal(obj)
	if err != nil {
		return err
	}
	if denied("System.Read", obj) {
		var hidden []string
		for _, p := range paths {
			if _, told := old[p].(notReadable); !told {
				old[p] = notReadable{}
				hidden = append(hidden, p)
			}
		}
		update.MissingSet = unreadable(obj, hidden)
		paths = nil
	}
	r.locked(obj, func() {
		for _, p := range paths {
			if !related(p, changed) {
				continue
			}
			var value interface{}
			if value, err = property(v, p); err != nil {
				return
			}
			if before, ok := old[p]; ok && reflect.DeepEqual(before, value) || !ok && value == nil {
				continue
			}
			old[p] = value
			update.ChangeSet = append(update.ChangeSet, types.PropertyChange{Op: types.PropertyChangeOpAssign, Name: p, Val: value})
		}
	})
	if err != nil {
		return err
	}
	if !known || len(update.ChangeSet) > 0 || len(update.MissingSet) > 0 {
		f.collector.queue = append(f.collector.queue, queued{filter: f.Self, update: update})
	}
	return nil
}

func (f *filter) leave(obj ref) {
	if _, known := f.reported[obj]; known {
		delete(f.reported, obj)
		f.collector.queue = append(f.collector.queue, queued{filter: f.Self, update: &types.ObjectUpdate{Obj: obj, Kind: types.ObjectUpdateKindLeave}})
	}
}

// gone reports an object of the specification itself that does not exist any more.
func (f *filter) gone(obj ref) {
	named := false
	for _, o := range f.Spec.ObjectSet {
		named = named || o.Obj == obj
	}
	if !named || f.told[obj] || !isTrue(f.Spec.ReportMissingObjectsInResults) {
		return
	}
	f.told[obj] = true
	missing := &types.ManagedObjectNotFound{Obj: obj}
	f.collector.queue = append(f.collector.queue, queued{filter: f.Self, missing: &types.MissingObject{Obj: obj,
		Fault: types.LocalizedMethodFault{Fault: missing, LocalizedMessage: messageOf(missing, "")}}})
}

// answer takes up to most updates (0: all) from the queue; nil when there is none.
func (c *collector) answer(most int) *types.UpdateSet {
	if len(c.queue) == 0 {
		return nil
	}
	n := len(c.queue)
	if most > 0 && n > most {
		n = most
	}
	set := &types.UpdateSet{}
	at := map[ref]int{}
	for _, q := range c.queue[:n] {
		i, ok := at[q.filter]
		if !ok {
			i = len(set.FilterSet)
			at[q.filter] = i
			set.FilterSet = append(set.FilterSet, types.PropertyFilterUpdate{Filter: q.filter})
		}
		if q.update != nil {
			set.FilterSet[i].ObjectSet = append(set.FilterSet[i].ObjectSet, *q.update)
		} else {
			set.FilterSet[i].MissingSet = append(set.FilterSet[i].MissingSet, *q.missing)
		}
	}
	c.queue = append([]queued{}, c.queue[n:]...)
	c.version++
	set.Version, set.Truncated = fmt.Sprint(c.version), types.NewBool(len(c.queue) > 0)
	c.last = set
	return set
}

// rewind prepares for a client's version: the present one, the one before (its answer was lost: it is given again), or none.
func (c *collector) rewind(version string) (again *types.UpdateSet, f fault) {
	switch version {
	case fmt.Sprint(c.version):
		c.last = nil
	case "":
		c.queue, c.last = nil, nil
		for _, f := range c.filters {
			f.reported, f.told = map[ref]map[string]interface{}{}, map[ref]bool{}
			hub.Lock()
			f.fresh = true
			f.signal()
			hub.Unlock()
		}
	case fmt.Sprint(c.version - 1):
		if c.last != nil {
			return c.last, nil
		}
		fallthrough
	default:
		return nil, &types.InvalidCollectorVersion{}
	}
	return nil, nil
}

// gather is how long the first change waits for others, so that a storm of them makes few answers.
var gather = 10 * time.Millisecond

func (c *collector) wait(ctx *simulator.Context, version string, seconds *int32, most int) (*types.UpdateSet, *soap.Fault) {
	mySession := sessions.get(ctx.Session.Key)
	if mySession == nil {
		return nil, notAuthenticated(c.Self)
	}
	c.mu.Lock()
	if c.waiting != nil {
		close(c.waiting) // a client that waits anew has given up its former wait
	}
	sentAway := make(chan struct{})
	c.waiting = sentAway
	defer func() {
		if c.waiting == sentAway {
			c.waiting = nil
		}
		c.mu.Unlock()
	}()
	again, f := c.rewind(version)
	if f != nil {
		return nil, soapFault(f, "")
	}
	if again != nil {
		return again, nil
	}
	var timeout <-chan time.Time
	if seconds != nil {
		timer := time.NewTimer(time.Duration(*seconds) * time.Second)
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		if err := c.compute(ctx.Session); err != nil {
			return nil, propertyFault(err)
		}
		if set := c.answer(most); set != nil {
			return set, nil
		}
		if seconds != nil && *seconds == 0 {
			return nil, nil
		}
		c.mu.Unlock()
		var fault *soap.Fault
		end := false
		select {
		case <-c.wake:
			time.Sleep(gather)
		case <-timeout:
			end = true
		case <-sentAway:
			fault = soapFault(&types.RequestCanceled{}, "")
		case <-mySession.ended:
			fault = notAuthenticated(c.Self)
		case <-ctx.Done():
			fault = soapFault(&types.RequestCanceled{}, "")
		}
		c.mu.Lock()
		if fault != nil {
			return nil, fault
		}
		if end {
			return nil, nil
		}
		if c.waiting != sentAway {
			return nil, soapFault(&types.RequestCanceled{}, "")
		}
	}
}

func notAuthenticated(object ref) *soap.Fault {
	return soapFault(&types.NotAuthenticated{NoPermission: types.NoPermission{Object: object, PrivilegeId: "System.View"}}, "")
}

// ---- The calls

func (c *collector) WaitForUpdatesEx(ctx *simulator.Context, req *types.WaitForUpdatesEx) soap.HasFault {
	var seconds *int32
	most := 0
	if req.Options != nil {
		seconds, most = req.Options.MaxWaitSeconds, int(req.Options.MaxObjectUpdates)
	}
	set, f := c.wait(ctx, req.Version, seconds, most)
	if f != nil {
		return &methods.WaitForUpdatesExBody{Fault_: f}
	}
	return &methods.WaitForUpdatesExBody{Res: &types.WaitForUpdatesExResponse{Returnval: set}}
}

func (c *collector) WaitForUpdates(ctx *simulator.Context, req *types.WaitForUpdates) soap.HasFault {
	set, f := c.wait(ctx, req.Version, nil, 0)
	if f != nil {
		return &methods.WaitForUpdatesBody{Fault_: f}
	}
	return &methods.WaitForUpdatesBody{Res: &types.WaitForUpdatesResponse{Returnval: *set}}
}

func (c *collector) CheckForUpdates(ctx *simulator.Context, req *types.CheckForUpdates) soap.HasFault {
	set, f := c.wait(ctx, req.Version, types.NewInt32(0), 0)
	if f != nil {
		return &methods.CheckForUpdatesBody{Fault_: f}
	}
	return &methods.CheckForUpdatesBody{Res: &types.CheckForUpdatesResponse{Returnval: set}}
}

func (c *collector) CancelWaitForUpdates(*types.CancelWaitForUpdates) soap.HasFault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
	}
	return &methods.CancelWaitForUpdatesBody{Res: &types.CancelWaitForUpdatesResponse{}}
}

func (c *collector) CreateFilter(ctx *simulator.Context, req *types.CreateFilter) soap.HasFault {
	r := reader{ctx.Session}
	world.RLock()
	s, err := r.selectObjects(&req.Spec)
	if err == nil {
		for _, obj := range s.members { // an impossible path is refused now rather than at the first wait
			if v, ok := r.value(obj); ok {
				paths, _ := r.paths(v, &req.Spec)
				if _, err = r.read(obj, v, paths); err != nil {
					break
				}
			}
		}
	}
	world.RUnlock()
	if err != nil {
		return &methods.CreateFilterBody{Fault_: propertyFault(err)}
	}
	if len(s.missing) > 0 && !isTrue(req.Spec.ReportMissingObjectsInResults) {
		return &methods.CreateFilterBody{Fault_: soapFault(&types.ManagedObjectNotFound{Obj: s.missing[0]}, "")}
	}
	f := &filter{collector: c, reported: map[ref]map[string]interface{}{}, told: map[ref]bool{}, changes: map[ref][]string{}, fresh: true}
	f.Self = ref{Type: "PropertyFilter"}
	f.Spec, f.PartialUpdates = req.Spec, req.PartialUpdates
	ctx.Session.Put(f)
	c.mu.Lock()
	c.filters = append(c.filters, f)
	c.PropertyCollector.Filter = appended(c.PropertyCollector.Filter, f.Self)
	c.mu.Unlock()
	hub.Lock()
	f.signal()
	hub.Unlock()
	return &methods.CreateFilterBody{Res: &types.CreateFilterResponse{Returnval: f.Self}}
}

func (f *filter) DestroyPropertyFilter(ctx *simulator.Context, _ *types.DestroyPropertyFilter) soap.HasFault {
	c := f.collector
	c.mu.Lock()
	for i, other := range c.filters {
		if other == f {
			c.filters = append(c.filters[:i:i], c.filters[i+1:]...)
			break
		}
	}
	var left []queued
	for _, q := range c.queue {
		if q.filter != f.Self {
			left = append(left, q)
		}
	}
	c.queue = left
	c.PropertyCollector.Filter = without(c.PropertyCollector.Filter, f.Self)
	c.mu.Unlock()
	hub.watch(f, nil)
	ctx.Session.Remove(f.Self)
	return &methods.DestroyPropertyFilterBody{Res: &types.DestroyPropertyFilterResponse{}}
}

func (c *collector) CreatePropertyCollector(ctx *simulator.Context, _ *types.CreatePropertyCollector) soap.HasFault {
	fresh := newCollector(ctx.Session.Key, ref{Type: "PropertyCollector"})
	ctx.Session.Put(fresh)
	return &methods.CreatePropertyCollectorBody{Res: &types.CreatePropertyCollectorResponse{Returnval: fresh.Self}}
}

func (c *collector) DestroyPropertyCollector(ctx *simulator.Context, _ *types.DestroyPropertyCollector) soap.HasFault {
	c.CancelWaitForUpdates(nil)
	for _, f := range c.list() {
		f.DestroyPropertyFilter(ctx, nil)
	}
	hub.Lock()
	delete(hub.collectors[c.session], c)
	hub.Unlock()
	ctx.Session.Remove(c.Self)
	return &methods.DestroyPropertyCollectorBody{Res: &types.DestroyPropertyCollectorResponse{}}
}
