// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// The SOAP endpoint: decode a call, let rules and privileges have their say, hand it to the object, encode the answer. The
// simulator's own endpoint does the same without faults, trace and privileges.

// call is one request on its way.
type call struct {
	request  *http.Request
	response http.ResponseWriter
	method   *simulator.Method
	session  *session
	user     string
	entry    *traceEntry
}

type contextKey struct{}

func callOf(ctx *simulator.Context) *call { return ctx.Value(contextKey{}).(*call) }

func (c *call) hit(r *rule) { trace.hit(c.entry, r) }

type endpoint struct{ apiVersion, oldest string }

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	network.hold(r)
	switch {
	case r.URL.Path == "/sdk/vimServiceVersions.xml":
		entry := &traceEntry{Kind: "call", Method: "VersionFile"}
		answerHTTP(w, r, entry, "", "text/xml", func() (int, []byte) { return http.StatusOK, e.versionFile() })
	case r.Method == http.MethodPost && (r.URL.Path == "/sdk" || strings.HasPrefix(r.URL.Path, "/sdk/")):
		e.serveSOAP(w, r)
	case e.isREST(r):
		serveREST(w, r)
	default:
		http.NotFound(w, r)
	}
}

// allVersions are those of vSphere 6.0 to 9.1.
var allVersions = []string{"9.1.0.0", "9.0.0.0", "8.0.3.0", "8.0.2.0", "8.0.1.0", "8.0.0.1", "7.0.3.0", "7.0.2.0", "7.0.1.0", "7.0.0.0",
	"6.7.3", "6.7.2", "6.7.1", "6.7", "6.5", "6.0"}

// versions are those that the server offers, the newest first.
func (e *endpoint) versions() []string {
	offered := []string{e.apiVersion}
	for _, v := range allVersions {
		if v < e.apiVersion && v >= e.oldest {
			offered = append(offered, v)
		}
	}
	return offered
}

// versionFile lists the versions from which clients choose.
func (e *endpoint) versionFile() []byte {
	offered := e.versions()
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s<namespaces version=\"1.0\"><namespace><name>urn:vim25</name><version>%s</version><priorVersions>", xml.Header, offered[0])
	for _, v := range offered[1:] {
		fmt.Fprintf(&out, "<version>%s</version>", v)
	}
	fmt.Fprint(&out, "</priorVersions></namespace></namespaces>")
	return out.Bytes()
}

// unsupported tells whether a request names a version that the server does not offer. Without any, it has the oldest.
func (e *endpoint) unsupported(r *http.Request) bool {
	named := strings.TrimPrefix(strings.Trim(r.Header.Get("SOAPAction"), `"`), "urn:vim25/")
	for _, v := range e.versions() {
		if named == "" || named == "urn:vim25" || named == v {
			return false
		}
	}
	return true
}

// typeOf finds a type that a request names, with or without a namespace prefix.
func typeOf(name string) (reflect.Type, bool) {
	return types.TypeFunc()(name[strings.LastIndex(name, ":")+1:])
}

func (e *endpoint) serveSOAP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	c := &call{request: r, response: w, entry: &traceEntry{Kind: "call"}}
	if c.method, err = simulator.UnmarshalBody(typeOf, body); err != nil {
		c.write(c.encode(&faultBody{soapFault(&types.InvalidRequest{}, err.Error())}))
		return
	}
	if e.unsupported(r) {
		c.write(c.encode(&faultBody{soapFault(&types.InvalidRequest{}, "Unsupported version URI "+r.Header.Get("SOAPAction"))}))
		return
	}
	if cookie, err := r.Cookie(cookieName); err == nil {
		if c.session = sessions.get(strings.Trim(cookie.Value, `"`)); c.session != nil {
			c.user = c.session.UserName
			c.entry.Session, c.entry.User = c.session.Key, c.user
		}
	}
	world.RLock()
	name := c.describe()
	world.RUnlock()
	trace.add(c.entry)
	stats.call(c.method.Name)
	rule := faults.take(c.method.Name, name, true, c.entry.Args)
	faultKind := "" // what the client was told, once it was told anything
	defer func() { trace.done(c.entry, faultKind) }()
	if rule == nil {
		res := c.carryOut()
		faultKind = faultOf(res)
		c.write(c.encode(res))
		return
	}
	c.hit(rule)
	if rule.Effect == "call_late" {
		linger(rule)
	} else if rule.Seconds != nil && !pause(r, duration(*rule.Seconds)) {
		panic(http.ErrAbortHandler)
	}
	switch rule.Effect {
	case "drop_before":
		panic(http.ErrAbortHandler)
	case "drop_after":
		c.carryOut()
		panic(http.ErrAbortHandler)
	case "black_hole":
		select {
		case <-faults.cleared():
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case "http_status":
		http.Error(w, messageOrKind(rule), rule.Status)
	case "call_fault":
		res := &faultBody{soapFault(rule.fault(c.method.This), rule.Message)}
		faultKind = faultOf(res)
		c.write(c.encode(res))
	case "endless":
		pour(w, rule)
	case "malformed":
		c.write(http.StatusOK, []byte(xml.Header+"<soapenv:Envelope><soapenv:Body></soapenv:Wrong>"))
	case "truncated":
		status, answer := c.encode(c.carryOut())
		c.write(status, answer[:len(answer)/2])
	default: // call_delay, call_late
		res := c.carryOut()
		faultKind = faultOf(res)
		c.write(c.encode(res))
	}
}

func messageOrKind(r *rule) string {
	if r.Message != "" {
		return r.Message
	}
	return http.StatusText(r.Status)
}

// pause waits unless the client goes away.
func pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// linger waits as a busy server does, whether or not the client waits too.
func linger(r *rule) {
	var over <-chan time.Time
	if r.Seconds != nil {
		over = time.After(duration(*r.Seconds))
	}
	select {
	case <-over:
	case <-faults.cleared():
	}
}

// describe fills the trace entry and returns the name that rules match: the VM's, or that of the object.
func (c *call) describe() string {
	e, this := c.entry, c.method.This
	e.Method, e.Object, e.Args = c.method.Name, this.Value, arguments(c.method.Body)
	switch o := simulator.Map.Get(this).(type) {
	case *machine:
		e.VM, e.VMName = o.rec.Moid, o.rec.Config.Name
	case *snapshotObject:
		e.VM, e.VMName = o.vm.rec.Moid, o.vm.rec.Config.Name
	case *task:
		if e.ObjectName = o.name; o.vm != nil {
			e.VM, e.VMName = o.vm.rec.Moid, o.vm.rec.Config.Name
		}
	case *datastoreSystem:
		e.ObjectName = o.host.Name
	case *hostOptions:
		e.ObjectName = o.host.Name
	case *datastoreBrowser:
		e.ObjectName = o.ds.rec.Name
	case mo.Entity:
		e.ObjectName = o.Entity().Name
	}
	if req, ok := c.method.Body.(*types.RegisterVM_Task); ok {
		e.ObjectName = registeredName(req)
	}
	if e.VMName != "" {
		e.ObjectName = e.VMName
		return e.VMName
	}
	if e.ObjectName != "" {
		return e.ObjectName
	}
	return this.Value
}

// arguments keeps the plain arguments of a call; never a password.
func arguments(body types.AnyType) map[string]interface{} {
	args := map[string]interface{}{}
	v := reflect.ValueOf(body).Elem()
	for i := 0; i < v.NumField(); i++ {
		name, f := v.Type().Field(i).Name, v.Field(i)
		for f.Kind() == reflect.Ptr && !f.IsNil() {
			f = f.Elem()
		}
		key := strings.ToLower(name[:1]) + name[1:]
		switch f.Kind() {
		case reflect.Bool:
			args[key] = f.Bool()
		case reflect.String:
			if key != "password" {
				args[key] = f.String()
			}
		}
		switch x := v.Field(i).Interface().(type) {
		case types.BaseVirtualMachineGuestQuiesceSpec:
			args["quiesce"] = x != nil
			if x != nil {
				args["timeout"] = x.GetVirtualMachineGuestQuiesceSpec().Timeout
			}
		case types.HostNasVolumeSpec:
			args["localPath"], args["remoteHost"], args["remotePath"], args["type"] = x.LocalPath, x.RemoteHost, x.RemotePath, x.Type
			args["remoteHostNames"], args["accessMode"], args["securityType"] = x.RemoteHostNames, x.AccessMode, x.SecurityType
		}
	}
	if x, ok := body.(*types.RemoveDatastore); ok {
		args["datastore"] = nameOf(x.Datastore)
	}
	return args
}

// carryOut finds the object and lets it answer.
func (c *call) carryOut() (res soap.HasFault) {
	this := c.method.This
	ctx := &simulator.Context{Context: context.WithValue(c.request.Context(), contextKey{}, c), Map: simulator.Map, Caller: &this}
	if c.session != nil {
		ctx.Session = c.session.Session
	} else if !c.allowedWithoutSession() {
		return &faultBody{soapFault(&types.NotAuthenticated{NoPermission: types.NoPermission{Object: this, PrivilegeId: "System.View"}}, "")}
	}
	if c.method.Name == "Fetch" { // answered by the property collector, whatever object it is about
		this = serviceContent().PropertyCollector
	}
	object := lookup(ctx.Session, this)
	if object == nil {
		return &faultBody{soapFault(&types.ManagedObjectNotFound{Obj: this}, "")}
	}
	if f := missingPrivilege(c.user, c.method, object); f != nil {
		return &faultBody{soapFault(f, "")}
	}
	object = receiver(object, c.method.Name)
	method := reflect.ValueOf(object).MethodByName(strings.Title(strings.Replace(c.method.Name, "_Task", "Task", 1)))
	if !method.IsValid() {
		return &faultBody{soapFault(&types.MethodNotFound{Receiver: this, Method: c.method.Name}, "")}
	}
	defer func() { // an object of the simulator's that cannot deal with the lab's: a fault, not a lost connection
		if cause := recover(); cause != nil {
			debug.PrintStack()
			res = &faultBody{soapFault(&types.SystemError{Reason: fmt.Sprint(cause)}, fmt.Sprint(cause))}
		}
	}()
	arguments := []reflect.Value{reflect.ValueOf(c.method.Body)}
	if method.Type().NumIn() == 2 {
		arguments = append([]reflect.Value{reflect.ValueOf(ctx)}, arguments...)
	}
	if _, own := object.(interface{ lockWorld() }); !own { // the simulator's objects may look at the lab's
		world.RLock()
		defer world.RUnlock()
	}
	simulator.Map.WithLock(object, func() { res = method.Call(arguments)[0].Interface().(soap.HasFault) })
	return res
}

// receiver is what carries out a call on an object: for some calls on the simulator's own objects, the lab's.
func receiver(object mo.Reference, method string) mo.Reference {
	switch o := object.(type) {
	case *simulator.Folder:
		if method == "RegisterVM_Task" {
			return &folder{Folder: o}
		}
	case *simulator.FileManager:
		if method == "DeleteDatastoreFile_Task" {
			return &fileManager{FileManager: o}
		}
	}
	return object
}

// allowedWithoutSession: what a client needs to find out whom it talks to, and to log in.
func (c *call) allowedWithoutSession() bool {
	switch req := c.method.Body.(type) {
	case *types.RetrieveServiceContent, *types.Login:
		return true
	case *types.RetrievePropertiesEx:
		return onlyServiceInstance(req.SpecSet)
	case *types.RetrieveProperties:
		return onlyServiceInstance(req.SpecSet)
	}
	return c.method.Name == "Fetch" && c.method.This == vim25.ServiceInstance
}

func onlyServiceInstance(specs []types.PropertyFilterSpec) bool {
	for _, s := range specs {
		for _, o := range s.ObjectSet {
			if o.Obj != vim25.ServiceInstance || len(o.SelectSet) > 0 {
				return false
			}
		}
	}
	return true
}

// ---- Answers

type faultBody struct{ fault *soap.Fault }

func (b *faultBody) Fault() *soap.Fault { return b.fault }

func faultOf(res soap.HasFault) string {
	if f := res.Fault(); f != nil {
		return reflect.TypeOf(f.Detail.Fault).Elem().Name()
	}
	return ""
}

const envelope = xml.Header + `<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/" ` +
	`xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" ` +
	`xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>`

func (c *call) encode(res soap.HasFault) (status int, answer []byte) {
	var out bytes.Buffer
	out.WriteString(envelope)
	enc := xml.NewEncoder(&out)
	var err error
	status = http.StatusOK
	if f := res.Fault(); f != nil {
		status = http.StatusInternalServerError
		kind := reflect.TypeOf(f.Detail.Fault).Elem().Name()
		out.WriteString("<soapenv:Fault><faultcode>" + f.Code + "</faultcode><faultstring>")
		_ = xml.EscapeText(&out, []byte(f.String))
		out.WriteString("</faultstring><detail>")
		err = enc.EncodeElement(f.Detail.Fault, xml.StartElement{Name: xml.Name{Local: kind + "Fault"}, Attr: []xml.Attr{
			{Name: xml.Name{Local: "xmlns"}, Value: "urn:vim25"}, {Name: xml.Name{Local: "xsi:type"}, Value: kind}}})
		out.WriteString("</detail></soapenv:Fault>")
	} else {
		answer := reflect.ValueOf(res).Elem().FieldByName("Res")
		err = enc.EncodeElement(answer.Interface(), xml.StartElement{Name: xml.Name{Space: "urn:vim25", Local: answer.Elem().Type().Name()}})
	}
	if err != nil {
		return http.StatusInternalServerError, []byte(err.Error())
	}
	out.WriteString("</soapenv:Body></soapenv:Envelope>\n")
	return status, out.Bytes()
}

func (c *call) write(status int, answer []byte) {
	c.response.Header().Set("Content-Type", "text/xml; charset=utf-8")
	c.response.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	c.response.WriteHeader(status)
	_, _ = c.response.Write(answer)
}
