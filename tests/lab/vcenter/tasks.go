// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Tasks take time, run side by side up to the limits, and are the only way in which snapshots change.

type task struct {
	mo.Task
	unlocked
	subject
	method     string
	rule       *rule
	seconds    time.Duration
	work       func(*task) (types.AnyType, fault)
	deed       deed   // what happens before the work, without world held; or nil
	registered string // managed object ID of the machine that it registers
	snapshot   string // managed object ID, once known
	snapshotID int32  // number of a new snapshot within its machine
	quiesced   *bool
	cancel     chan struct{} // closed by CancelTask
	release    chan struct{} // closed by /_ctl/release: a task that hangs goes on
	gone       chan struct{} // closed when its machine is unregistered: it waits for no answer any more
}

// subject is what a task works on: a machine, or another object.
type subject struct {
	vm       *machine // nil: another object
	entity   ref
	name     string // that rules match
	hostName string
}

func (vm *machine) subject() subject { return subject{vm, vm.Self, vm.rec.Config.Name, vm.host.Name} }

// there is whether the subject still exists. Called with world held.
func (s subject) there() bool { return s.vm == nil || inv.machines[s.vm.rec.Moid] == s.vm }

// deed is the part of a task that takes real time: the hypervisor carries it out, or a question needs an answer.
type deed func(*task) fault

// limits holds back tasks beyond so many at once, in all and per host (0: no limit). Guarded by world.
type limits struct {
	all, perHost int
	running      int
	active       map[*task]bool // those that run
	onHost       map[string]int
	waiting      []*task
}

var (
	scheduler = limits{onHost: map[string]int{}, active: map[*task]bool{}}
	durations = map[string]*time.Duration{}
	retention time.Duration
)

// start makes a task, puts it in the queue and returns its reference. Another task on the same machine makes it fail at once.
func start(c *call, vm *machine, method string, work func(*task) (types.AnyType, fault), snapshot ...string) ref {
	return startReal(c, vm, method, nil, work, snapshot...)
}

// startReal makes a task whose deed the hypervisor carries out first.
func startReal(c *call, vm *machine, method string, deed deed, work func(*task) (types.AnyType, fault), snapshot ...string) ref {
	world.Lock()
	defer world.Unlock()
	return startOn(c, vm.subject(), method, deed, work, snapshot...)
}

// startOn is the same for any object. Called with world held.
func startOn(c *call, s subject, method string, deed deed, work func(*task) (types.AnyType, fault), snapshot ...string) ref {
	inv.nextTask++
	t := &task{subject: s, method: method, work: work, deed: deed, cancel: make(chan struct{}), release: make(chan struct{}),
		gone: make(chan struct{})}
	t.Self = ref{Type: "Task", Value: fmt.Sprintf("task-%d", inv.nextTask)}
	if inv.esx {
		t.Self.Value = fmt.Sprintf("haTask-%s-vim.%s-%d", s.entity.Value, s.entity.Type, inv.nextTask)
	}
	if len(snapshot) > 0 {
		t.snapshot = snapshot[0]
	}
	id := string(method[0]+'a'-'A') + method[1:len(method)-len("_Task")]
	t.Info = types.TaskInfo{Key: t.Self.Value, Task: t.Self, Name: method, DescriptionId: s.entity.Type + "." + id, Entity: &s.entity,
		EntityName: escaped(s.name), State: types.TaskInfoStateQueued, Cancelable: s.vm != nil && s.vm.rec.Config.Cancelable,
		QueueTime: time.Now().UTC(), Reason: &types.TaskReasonUser{UserName: c.user}, EventChainId: int32(inv.nextTask)}
	if t.seconds = *durations["CreateSnapshot_Task"]; durations[method] != nil {
		t.seconds = *durations[method]
	}
	if t.rule = faults.take(method, s.name, false, c.entry.Args); t.rule != nil {
		c.hit(t.rule)
		if t.rule.Seconds != nil {
			t.seconds = duration(*t.rule.Seconds)
		}
	}
	simulator.Map.Put(t)
	s.listTask(appended, t.Self)
	trace.task("queued", t, "")
	if s.vm != nil && s.vm.busy != nil {
		t.finish(nil, &types.TaskInProgress{VimFault: types.VimFault{}, Task: s.vm.busy.Self}, "")
		return t.Self
	}
	t.hold(t)
	scheduler.waiting = append(scheduler.waiting, t)
	scheduler.next()
	return t.Self
}

// next starts what the limits allow, first come first served per host.
func (l *limits) next() {
	var left []*task
	for _, t := range l.waiting {
		if l.all > 0 && l.running >= l.all || l.perHost > 0 && l.onHost[t.hostName] >= l.perHost {
			left = append(left, t)
			continue
		}
		l.running++
		l.active[t] = true
		l.onHost[t.hostName]++
		stats.begin(t.method, t.hostName)
		now := time.Now().UTC()
		t.Info.State, t.Info.StartTime, t.Info.Progress = types.TaskInfoStateRunning, &now, 0
		hub.changed(t.Self, "info.state", "info.startTime")
		trace.task("started", t, "")
		go t.run()
	}
	l.waiting = left
}

func (vm *machine) setRecent(tasks []ref) {
	vm.recent, vm.RecentTask = tasks, tasks
	hub.changed(vm.Self, "recentTask")
}

// forget takes a task away, as if it had never been. Called with world held.
func (t *task) forget() {
	removeObject(t.Self)
	t.listTask(without, t.Self)
}

// listTask puts a task into the recent ones of the machine or of the folder, or takes it out of them.
func (s subject) listTask(change func([]ref, ref) []ref, t ref) {
	if s.vm != nil {
		s.vm.setRecent(change(s.vm.recent, t))
	} else if f, ok := simulator.Map.Get(s.entity).(*simulator.Folder); ok {
		update(f, func() { f.RecentTask = change(f.RecentTask, t) }, "recentTask")
	}
}

// whileBusy lets go of world for a call of the hypervisor that is not part of a task. Called with world held.
func (vm *machine) whileBusy(call func() fault) fault {
	vm.busy = &task{subject: vm.subject(), cancel: make(chan struct{}), release: make(chan struct{}), gone: make(chan struct{})}
	world.Unlock()
	defer func() {
		world.Lock()
		vm.busy = nil
	}()
	return call()
}

// hold makes a machine busy with a task, or (nil) free again.
func (s subject) hold(t *task) {
	if s.vm != nil {
		s.vm.busy = t
	}
}

func (t *task) effect() string {
	if t.rule == nil {
		return ""
	}
	return t.rule.Effect
}

func (t *task) run() {
	effect := t.effect()
	until := t.seconds
	if effect == "task_fault" && t.rule.Progress > 0 {
		until = until * time.Duration(t.rule.Progress) / 100
	}
	cancelled := t.wait(until)
	if effect == "task_hang" && !cancelled {
		select {
		case <-t.cancel:
			cancelled = true
		case <-t.release:
		}
	}
	refused := t.carryOut(cancelled)
	world.Lock()
	defer world.Unlock()
	var result types.AnyType
	var f fault
	message := ""
	switch {
	case !t.there(): // unregistered in the meantime
		f = &types.ManagedObjectNotFound{Obj: t.entity}
	case cancelled:
		f = &types.RequestCanceled{}
	case effect == "task_fault":
		f, message = t.rule.fault(t.entity), t.rule.Message
	case effect == "task_vanish" && !t.rule.carriedOut():
	case refused != nil:
		f = refused
	case effect == "half_snapshot":
		if _, f = t.work(t); f == nil {
			f, message = t.rule.fault(t.entity), t.rule.Message
		}
	default:
		if result, f = t.work(t); f == nil && effect == "needs_consolidation" && t.vm != nil {
			t.vm.rec.ConsolidationNeeded = true
			f = errorToFault(t.vm.show())
		}
	}
	scheduler.running--
	delete(scheduler.active, t)
	scheduler.onHost[t.hostName]--
	stats.end(t.method, t.hostName)
	t.hold(nil)
	if effect == "task_vanish" {
		trace.task("vanished", t, "")
		t.forget()
	} else {
		t.finish(result, f, message)
	}
	scheduler.next()
}

// carryOut lets the hypervisor do its part, unless the task has no effect anyway.
func (t *task) carryOut(cancelled bool) fault {
	effect := t.effect()
	if t.deed == nil || cancelled || effect == "task_fault" || effect == "task_vanish" && !t.rule.carriedOut() {
		return nil
	}
	world.RLock()
	there := t.there()
	world.RUnlock()
	if !there {
		return nil
	}
	return t.deed(t)
}

// letGo lets a hanging task go on; false: it was let go before. Called with world held.
func (t *task) letGo() bool {
	select {
	case <-t.release:
		return false
	default:
		close(t.release)
		return true
	}
}

// abandon ends the waiting of a task whose machine is unregistered. Called with world held.
func (t *task) abandon() {
	t.letGo()
	select {
	case <-t.gone:
	default:
		close(t.gone)
	}
}

// wait passes the task's time; a long task publishes its progress once per second. It tells whether the task was cancelled.
func (t *task) wait(d time.Duration) (cancelled bool) {
	begin := time.Now()
	for {
		left := d - time.Since(begin)
		if left <= 0 {
			return false
		}
		step := left
		if step > time.Second {
			step = time.Second
		}
		timer := time.NewTimer(step)
		select {
		case <-t.cancel:
			timer.Stop()
			return true
		case <-timer.C:
		}
		if left > time.Second {
			world.Lock()
			t.Info.Progress = int32(100 * time.Since(begin) / d)
			world.Unlock()
			hub.changed(t.Self, "info.progress")
		}
	}
}

// finish publishes the end, and forgets the task after its retention.
func (t *task) finish(result types.AnyType, f fault, message string) {
	now := time.Now().UTC()
	t.Info.CompleteTime = &now
	text := ""
	if f != nil {
		text = kindOf(f)
		t.Info.State = types.TaskInfoStateError
		t.Info.Error = &types.LocalizedMethodFault{Fault: f, LocalizedMessage: messageOf(f, message)}
		if _, ok := f.(*types.RequestCanceled); ok {
			t.Info.Cancelled = true
		}
	} else {
		t.Info.State, t.Info.Result, t.Info.Progress = types.TaskInfoStateSuccess, result, 100
	}
	trace.task("finished", t, text)
	hub.changed(t.Self, "info.state", "info.completeTime", "info.error", "info.result", "info.progress", "info.cancelled")
	time.AfterFunc(retention, func() {
		world.Lock()
		defer world.Unlock()
		t.forget()
	})
}

// CancelTask is refused unless the machine's configuration says that its tasks can be cancelled.
func (t *task) CancelTask(req *types.CancelTask) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	switch t.Info.State {
	case types.TaskInfoStateSuccess, types.TaskInfoStateError:
		return &methods.CancelTaskBody{Fault_: soapFault(&types.InvalidState{}, "")}
	}
	if !t.Info.Cancelable {
		return &methods.CancelTaskBody{Fault_: soapFault(&types.NotSupported{}, "")}
	}
	for i, other := range scheduler.waiting {
		if other == t { // it has not even begun
			scheduler.waiting = append(scheduler.waiting[:i:i], scheduler.waiting[i+1:]...)
			t.hold(nil)
			t.finish(nil, &types.RequestCanceled{}, "")
			return &methods.CancelTaskBody{Res: &types.CancelTaskResponse{}}
		}
	}
	select {
	case <-t.cancel:
	default:
		close(t.cancel)
	}
	return &methods.CancelTaskBody{Res: &types.CancelTaskResponse{}}
}
