// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"path"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Reading properties: by dotted path, of objects given or reached by traversal, in pages. The rest of the property
// collector, waiting for updates, is in updates.go.

// lookup finds an object: one of the session's own (views, filters, collectors), or one of the inventory.
func lookup(s *simulator.Session, r ref) mo.Reference {
	if s != nil {
		if o := s.Registry.Get(r); o != nil {
			return o
		}
	}
	return simulator.Map.Get(r)
}

// managed is an object's struct of package mo: the one that has the properties as fields.
func managed(o mo.Reference) reflect.Value {
	v := reflect.ValueOf(o).Elem()
	for path.Base(v.Type().PkgPath()) != "mo" {
		v = v.Field(0)
	}
	return v
}

type invalidPath struct{ path string }

func (e invalidPath) Error() string { return "no property " + e.path }

// property reads a path; nil is an unset property. A path that the type does not have is an error.
func property(v reflect.Value, dotted string) (interface{}, error) {
	t := v.Type()
	for _, name := range strings.Split(dotted, ".") {
		if v, t = follow(v, t); t.Kind() == reflect.Interface {
			return nil, nil // unset, and what it could hold is not known
		}
		if t.Kind() != reflect.Struct || name == "" {
			return nil, invalidPath{dotted}
		}
		f, ok := t.FieldByName(strings.ToUpper(name[:1]) + name[1:])
		if !ok || f.Name == "Self" {
			return nil, invalidPath{dotted}
		}
		if t = f.Type; v.IsValid() {
			v = v.FieldByIndex(f.Index)
		}
	}
	if v.IsValid() {
		return plain(v), nil
	}
	return nil, nil
}

// follow goes through pointers and interfaces; the value is invalid where one of them is nil.
func follow(v reflect.Value, t reflect.Type) (reflect.Value, reflect.Type) {
	for {
		switch {
		case t.Kind() == reflect.Ptr:
			t = t.Elem()
			if v.IsValid() {
				v = v.Elem()
			}
		case t.Kind() == reflect.Interface && v.IsValid() && !v.IsNil():
			v = v.Elem()
			t = v.Type()
		case t.Kind() == reflect.Interface:
			return reflect.Value{}, t
		default:
			return v, t
		}
	}
}

// plain is a field's value as it is sent, or nil where it is unset.
func plain(v reflect.Value) interface{} {
	switch v.Kind() {
	case reflect.Ptr:
		if v.IsNil() {
			return nil
		}
		return v.Elem().Interface()
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.String:
		if v.Len() == 0 {
			return nil
		}
	case reflect.Slice:
		return array(v)
	}
	if r, ok := v.Interface().(ref); ok && r.Value == "" {
		return nil
	}
	return v.Interface()
}

// array wraps a list in the type that the protocol has for it.
func array(v reflect.Value) interface{} {
	element := v.Type().Elem()
	kind := strings.TrimPrefix(element.Name(), "Base")
	switch element.Kind() {
	case reflect.Uint8:
		kind = "Byte"
	case reflect.Int16:
		kind = "Short"
	case reflect.Int32:
		kind = "Int"
	case reflect.Int64:
		kind = "Long"
	case reflect.Bool:
		kind = "Boolean"
	case reflect.String:
		kind = "String"
	}
	t, ok := types.TypeFunc()("ArrayOf" + kind)
	if !ok {
		return nil
	}
	a := reflect.New(t)
	field := a.Elem().Field(0)
	if element.Kind() == reflect.String && element != field.Type().Elem() { // an enumeration
		list := reflect.MakeSlice(field.Type(), v.Len(), v.Len())
		for i := 0; i < v.Len(); i++ {
			list.Index(i).SetString(v.Index(i).String())
		}
		v = list
	}
	field.Set(v)
	return a.Interface()
}

// allPaths are the names of all properties of a type, those of its base types too.
func allPaths(t reflect.Type) (paths []string) {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		switch {
		case f.Anonymous:
			paths = append(paths, allPaths(f.Type)...)
		case f.Name != "Self":
			paths = append(paths, strings.ToLower(f.Name[:1])+f.Name[1:])
		}
	}
	return paths
}

// isA tells whether a type of package mo is, or is derived from, the named one.
func isA(t reflect.Type, name string) bool {
	if t.Name() == name {
		return true
	}
	f, ok := t.FieldByName(name)
	return ok && f.Anonymous
}

type unreadableObject struct{ obj ref }

func (e unreadableObject) Error() string { return "no permission on " + e.obj.Value }

// reader reads with the eyes of one session.
type reader struct{ session *simulator.Session }

// value finds an object's struct; ok is false when the object does not exist.
func (r reader) value(obj ref) (v reflect.Value, ok bool) {
	if obj == *serviceContent().SessionManager {
		return reflect.ValueOf(sessions.view(r.session)).Elem(), true
	}
	o := lookup(r.session, obj)
	if o == nil {
		return reflect.Value{}, false
	}
	return managed(o), true
}

// locked runs f while the object does not change: the simulator's own objects have a lock each.
func (r reader) locked(obj ref, f func()) {
	if _, ok := simulator.Map.Get(obj).(mo.Reference); ok {
		simulator.Map.WithLock(obj, f)
		return
	}
	f()
}

// paths lists what a filter specification wants of an object, or nothing when it is not about objects of its type.
func (r reader) paths(v reflect.Value, spec *types.PropertyFilterSpec) (paths []string, about bool) {
	for _, p := range spec.PropSet {
		if !isA(v.Type(), p.Type) {
			continue
		}
		about = true
		if p.All != nil && *p.All {
			paths = append(paths, allPaths(v.Type())...)
		} else {
			paths = append(paths, p.PathSet...)
		}
	}
	return paths, about
}

// selection is what a filter specification selects: the objects, and on the way to them all that was looked at.
type selection struct {
	reader
	members []ref
	missing []ref
	visited map[ref]bool
	seen    map[ref]bool
	named   map[string]*types.TraversalSpec
	done    map[step]bool
}

type step struct {
	obj  ref
	spec *types.TraversalSpec
}

func (r reader) selectObjects(spec *types.PropertyFilterSpec) (*selection, error) {
	s := &selection{reader: r, visited: map[ref]bool{}, seen: map[ref]bool{}, named: map[string]*types.TraversalSpec{}, done: map[step]bool{}}
	for _, o := range spec.ObjectSet {
		s.name(o.SelectSet)
	}
	for _, o := range spec.ObjectSet {
		if _, ok := s.value(o.Obj); !ok {
			s.missing = append(s.missing, o.Obj)
			continue
		}
		if len(o.SelectSet) == 0 || o.Skip == nil || !*o.Skip {
			s.member(o.Obj)
		}
		if err := s.traverse(o.Obj, o.SelectSet); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *selection) member(obj ref) {
	if !s.seen[obj] {
		s.seen[obj] = true
		s.members = append(s.members, obj)
	}
}

// name collects the named traversals first: one may refer to another that comes later, or to itself.
func (s *selection) name(set []types.BaseSelectionSpec) {
	for _, b := range set {
		if ts, ok := b.(*types.TraversalSpec); ok {
			if ts.Name != "" {
				s.named[ts.Name] = ts
			}
			s.name(ts.SelectSet)
		}
	}
}

func (s *selection) traverse(obj ref, set []types.BaseSelectionSpec) error {
	for _, b := range set {
		ts, ok := b.(*types.TraversalSpec)
		if !ok {
			if ts = s.named[b.GetSelectionSpec().Name]; ts == nil {
				return fmt.Errorf("no traversal named %q", b.GetSelectionSpec().Name)
			}
		}
		if s.done[step{obj, ts}] {
			continue
		}
		s.done[step{obj, ts}] = true
		v, ok := s.value(obj)
		if !ok || !isA(v.Type(), ts.Type) {
			continue
		}
		s.visited[obj] = true
		var next interface{}
		var err error
		s.locked(obj, func() { next, err = property(v, ts.Path) })
		if err != nil {
			return err
		}
		var children []ref
		switch n := next.(type) {
		case ref:
			children = []ref{n}
		case *types.ArrayOfManagedObjectReference:
			children = n.ManagedObjectReference
		}
		for _, child := range children {
			if ts.Skip == nil || !*ts.Skip {
				s.member(child)
			}
			if err := s.traverse(child, ts.SelectSet); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads the paths of one object; unset properties are left out.
func (r reader) read(obj ref, v reflect.Value, paths []string) (set []types.DynamicProperty, err error) {
	r.locked(obj, func() {
		done := make(map[string]bool, len(paths))
		for _, p := range paths {
			if done[p] {
				continue
			}
			done[p] = true
			var value interface{}
			if value, err = property(v, p); err != nil {
				return
			}
			if value != nil {
				set = append(set, types.DynamicProperty{Name: p, Val: value})
			}
		}
	})
	return set, err
}

// propertyFault turns what is wrong with a specification into vSphere's fault.
func propertyFault(err error) *soap.Fault {
	if e, ok := err.(invalidPath); ok {
		return soapFault(&types.InvalidProperty{Name: e.path}, "")
	}
	if e, ok := err.(unreadableObject); ok {
		return soapFault(&types.NoPermission{Object: e.obj, PrivilegeId: "System.Read"}, "")
	}
	return soapFault(&types.InvalidArgument{InvalidProperty: "specSet"}, err.Error())
}

// unreadable says of each path that it may not be read.
func unreadable(obj ref, paths []string) (set []types.MissingProperty) {
	for _, path := range paths {
		set = append(set, types.MissingProperty{Path: path, Fault: types.LocalizedMethodFault{
			Fault:            &types.NoPermission{Object: obj, PrivilegeId: "System.Read"},
			LocalizedMessage: "Permission to perform this operation was denied.",
		}})
	}
	return set
}

func (r reader) retrieve(specs []types.PropertyFilterSpec) ([]types.ObjectContent, *soap.Fault) {
	world.RLock()
	defer world.RUnlock()
	var out []types.ObjectContent
	for i := range specs {
		spec := &specs[i]
		s, err := r.selectObjects(spec)
		if err != nil {
			return nil, propertyFault(err)
		}
		if len(s.missing) > 0 && !isTrue(spec.ReportMissingObjectsInResults) {
			return nil, soapFault(&types.ManagedObjectNotFound{Obj: s.missing[0]}, "")
		}
		for _, obj := range s.members {
			v, ok := r.value(obj)
			if !ok {
				continue
			}
			if paths, about := r.paths(v, spec); about {
				if err := refusal(obj); err != nil {
					return nil, propertyFault(err)
				}
				if denied("System.Read", obj) {
					out = append(out, types.ObjectContent{Obj: obj, MissingSet: unreadable(obj, paths)})
					continue
				}
				set, err := r.read(obj, v, paths)
				if err != nil {
					return nil, propertyFault(err)
				}
				out = append(out, types.ObjectContent{Obj: obj, PropSet: set})
			}
		}
	}
	return out, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// ---- The calls

// pages holds the rest of answers that were cut at maxObjects.
var pages struct {
	sync.Mutex
	left map[string]page
}

type page struct {
	objects []types.ObjectContent
	most    int32
}

func cut(objects []types.ObjectContent, most int32) *types.RetrieveResult {
	r := &types.RetrieveResult{Objects: objects}
	if most > 0 && len(objects) > int(most) {
		r.Token, r.Objects = uuid.New().String(), objects[:most]
		pages.Lock()
		defer pages.Unlock()
		if pages.left == nil {
			pages.left = map[string]page{}
		}
		token := r.Token
		pages.left[token] = page{objects[most:], most}
		time.AfterFunc(10*time.Minute, func() { takePage(token) })
	}
	return r
}

func takePage(token string) (page, bool) {
	pages.Lock()
	defer pages.Unlock()
	p, ok := pages.left[token]
	delete(pages.left, token)
	return p, ok
}

func (c *collector) RetrievePropertiesEx(ctx *simulator.Context, req *types.RetrievePropertiesEx) soap.HasFault {
	objects, f := reader{ctx.Session}.retrieve(req.SpecSet)
	if f != nil {
		return &methods.RetrievePropertiesExBody{Fault_: f}
	}
	body := &methods.RetrievePropertiesExBody{Res: &types.RetrievePropertiesExResponse{}}
	if len(objects) > 0 { // nothing found: the answer is empty
		body.Res.Returnval = cut(objects, req.Options.MaxObjects)
	}
	return body
}

func (c *collector) ContinueRetrievePropertiesEx(req *types.ContinueRetrievePropertiesEx) soap.HasFault {
	p, ok := takePage(req.Token)
	if !ok {
		return &methods.ContinueRetrievePropertiesExBody{Fault_: soapFault(&types.InvalidArgument{InvalidProperty: "token"}, "")}
	}
	return &methods.ContinueRetrievePropertiesExBody{Res: &types.ContinueRetrievePropertiesExResponse{Returnval: *cut(p.objects, p.most)}}
}

func (c *collector) CancelRetrievePropertiesEx(req *types.CancelRetrievePropertiesEx) soap.HasFault {
	takePage(req.Token)
	return &methods.CancelRetrievePropertiesExBody{Res: &types.CancelRetrievePropertiesExResponse{}}
}

func (c *collector) RetrieveProperties(ctx *simulator.Context, req *types.RetrieveProperties) soap.HasFault {
	objects, f := reader{ctx.Session}.retrieve(req.SpecSet)
	if f != nil {
		return &methods.RetrievePropertiesBody{Fault_: f}
	}
	return &methods.RetrievePropertiesBody{Res: &types.RetrievePropertiesResponse{Returnval: objects}}
}

// FetchResponse answers Fetch, the undocumented call by which clients read an attribute of a managed object.
type FetchResponse struct {
	Returnval interface{} `xml:"returnval,omitempty,typeattr"`
}

type fetchBody struct{ Res *FetchResponse }

func (*fetchBody) Fault() *soap.Fault { return nil }

func (c *collector) Fetch(ctx *simulator.Context, req interface{}) soap.HasFault {
	v := reflect.ValueOf(req).Elem() // the simulator keeps this type to itself
	obj, name := v.FieldByName("This").Interface().(ref), v.FieldByName("Prop").String()
	world.RLock()
	defer world.RUnlock()
	r := reader{ctx.Session}
	target, ok := r.value(obj)
	if !ok {
		return &faultBody{soapFault(&types.ManagedObjectNotFound{Obj: obj}, "")}
	}
	set, err := r.read(obj, target, []string{name})
	if err != nil {
		return &faultBody{propertyFault(err)}
	}
	res := &FetchResponse{}
	if len(set) > 0 {
		res.Returnval = set[0].Val
	}
	return &fetchBody{res}
}
