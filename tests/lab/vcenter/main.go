// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The lab's vCenter: govmomi's simulator with what a snapshot coordinator has to survive. README.md says what it models, how it
// is started and how it is controlled.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	configPath := flag.String("config", "", "inventory as JSON: a file, or - for standard input (default: a small one)")
	esx := flag.Bool("esxi", false, "be a single ESXi host instead of a vCenter")
	apiVersion := flag.String("api-version", "7.0.3.0", "API version to speak")
	oldest := flag.String("oldest-api-version", "6.0", "oldest API version to speak")
	port := flag.Int("port", 0, "port on 127.0.0.1 and 127.0.0.2 (0: a free one)")
	certificates := flag.String("certificates", "", "directory of ca.pem and server.pem, made where missing (required)")
	user := flag.String("user", "administrator@vsphere.local", "the only user; the password is read from VCENTER_PASSWORD")
	create := flag.Duration("create", 200*time.Millisecond, "time that the creation of a snapshot takes")
	remove := flag.Duration("remove", 200*time.Millisecond, "time that the removal of a snapshot takes")
	flag.IntVar(&scheduler.all, "tasks", 0, "tasks that run at once; further ones stay queued (0: no limit)")
	flag.IntVar(&scheduler.perHost, "tasks-per-host", 0, "the same for each host")
	flag.DurationVar(&retention, "retention", 10*time.Minute, "how long a finished task can be looked up")
	statePath := flag.String("state", "", "file that keeps datastores, VMs and snapshots over a restart")
	tracePath := flag.String("trace", "", "file that the trace is appended to")
	flag.StringVar(&hypervisorAddress, "hypervisor", "", "host:port of the hypervisor that has the disks of the VMs marked as real")
	flag.StringVar(&hostAddress, "host-address", "", "address of all hosts: from it, the hypervisor mounts datastores (default: 198.18.0.1 and up)")
	lifeline := flag.Bool("lifeline", false, "end when standard input does: with the process that holds its other end")
	verbose := flag.Bool("v", false, "log what govmomi's simulator says")
	flag.Parse()
	if !*verbose {
		log.SetOutput(io.Discard)
	}
	if err := run(options{*configPath, *esx, *apiVersion, *oldest, *port, *certificates, *user, *statePath, *tracePath, *lifeline}, *create, *remove); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	config       string
	esx          bool
	apiVersion   string
	oldest       string
	port         int
	certificates string
	user         string
	state        string
	trace        string
	lifeline     bool
}

func run(o options, create, remove time.Duration) error {
	for method, d := range map[string]*time.Duration{"CreateSnapshot_Task": &create, "CreateSnapshotEx_Task": &create,
		"RevertToSnapshot_Task": &create, "PowerOnVM_Task": &create, "PowerOffVM_Task": &create, "RemoveSnapshot_Task": &remove,
		"RemoveAllSnapshots_Task": &remove, "ConsolidateVMDisks_Task": &remove} {
		durations[method] = d
	}
	stats.reset()
	begin := time.Now()
	c, err := chooseConfig(o.config)
	if err != nil {
		return err
	}
	if err := trace.open(o.trace); err != nil {
		return err
	}
	if err := build(c, o); err != nil {
		return err
	}
	certificate, thumbprint, err := loadCertificates(o.certificates)
	if err != nil {
		return err
	}
	listeners, port, err := listen(o.port)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: &endpoint{o.apiVersion, o.oldest}, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}} // HTTP/1.1 only, as vCenter
	failed := make(chan error, 3)
	for _, l := range listeners {
		go func(l net.Listener) { failed <- server.ServeTLS(listener{l}, "", "") }(l)
	}
	loopback, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ctl/", control)
	go func() { failed <- http.Serve(loopback, mux) }()

	ready, _ := json.Marshal(map[string]interface{}{"port": port, "control": loopback.Addr().(*net.TCPAddr).Port, "thumbprint": thumbprint,
		"pid": os.Getpid(), "vms": len(inv.machines), "seconds": time.Since(begin).Seconds()})
	fmt.Println(string(ready)) // the one line on standard output: whoever started it may begin
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	if o.lifeline {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			failed <- nil
		}()
	}
	select {
	case err = <-failed:
		return err
	case <-stop:
		return nil
	}
}

func chooseConfig(path string) (*config, error) {
	switch path {
	case "":
		return defaultConfig(), nil
	case "-":
		return readConfig(os.Stdin)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readConfig(file)
}

// build makes the inventory and puts the lab's own managers in the place of the simulator's.
func build(c *config, o options) error {
	if err := buildHosts(c, o); err != nil {
		return err
	}
	content := serviceContent()
	sessions.Self, sessions.user, sessions.password = *content.SessionManager, o.user, os.Getenv("VCENTER_PASSWORD")
	simulator.Map.Put(sessions)
	simulator.Map.Put(newCollector("", content.PropertyCollector)) // for those who have not logged in
	authority = &authorization{AuthorizationManager: *simulator.Map.Get(*content.AuthorizationManager).(*simulator.AuthorizationManager)}
	authority.listPrivileges()
	simulator.Map.Put(authority)
	simulator.Map.Put(&searchIndex{*simulator.Map.SearchIndex()})
	handler := &bridge{}
	handler.Self = ref{Type: "Bridge", Value: "bridge"}
	simulator.Map.AddHandler(handler)

	world.Lock()
	defer world.Unlock()
	remembered, err := openState(o.state)
	if err != nil {
		return err
	}
	if err := populate(c, remembered); err != nil {
		return err
	}
	boots := 1
	if remembered != nil {
		boots += remembered.boots
	}
	return commitState(o.state, boots)
}

// listen takes the same port on both loopback addresses.
func listen(port int) ([]net.Listener, int, error) {
	for attempt := 0; ; attempt++ {
		first, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return nil, 0, err
		}
		chosen := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", chosen))
		if err == nil {
			return []net.Listener{first, second}, chosen, nil
		}
		first.Close()
		if port != 0 || attempt == 20 {
			return nil, 0, err
		}
	}
}
