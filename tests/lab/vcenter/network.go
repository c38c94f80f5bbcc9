// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net"
	"net/http"
	"sync"
)

// The network between client and vCenter can be cut as a whole, beside the rules for single calls: new connections are reset,
// or (a black hole) neither new nor open connections get any answer.

type wire struct {
	sync.Mutex
	mode string        // up, reset, black_hole
	up   chan struct{} // closed while the mode is not black_hole
	open map[net.Conn]bool
}

var network = func() *wire {
	w := &wire{mode: "up", up: make(chan struct{}), open: map[net.Conn]bool{}}
	close(w.up)
	return w
}()

func (w *wire) set(mode string) bool {
	w.Lock()
	defer w.Unlock()
	if mode != "up" && mode != "reset" && mode != "black_hole" {
		return false
	}
	if (mode == "black_hole") != (w.mode == "black_hole") {
		if mode == "black_hole" {
			w.up = make(chan struct{})
		} else {
			close(w.up)
		}
	}
	if w.mode = mode; mode == "reset" {
		for c := range w.open {
			c.Close()
		}
	}
	return true
}

// hold keeps a request in a black hole until the network is up again or the client gives up.
func (w *wire) hold(r *http.Request) {
	w.Lock()
	up := w.up
	w.Unlock()
	select {
	case <-up:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// listener accepts only what the mode lets through; in a black hole not even the TLS handshake is answered.
type listener struct{ net.Listener }

type connection struct{ net.Conn }

func (c connection) Read(b []byte) (int, error) {
	network.Lock()
	up := network.up
	network.Unlock()
	<-up
	return c.Conn.Read(b)
}

func (c connection) Close() error {
	network.Lock()
	delete(network.open, c.Conn)
	network.Unlock()
	return c.Conn.Close()
}

func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		network.Lock()
		reset := network.mode == "reset"
		if !reset {
			network.open[c] = true
		}
		network.Unlock()
		if !reset {
			return connection{c}, nil
		}
		c.Close()
	}
}
