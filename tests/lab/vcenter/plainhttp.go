// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"fmt"
	"net/http"
)

// Requests that are not SOAP calls: traced, counted, and subject to the rules as those are.

// answerHTTP answers a request unless a rule has it otherwise. name is what rules match as the name of the object.
func answerHTTP(w http.ResponseWriter, r *http.Request, entry *traceEntry, name, contentType string, carryOut func() (int, []byte)) {
	trace.add(entry)
	stats.call(entry.Method)
	rule := faults.take(entry.Method, name, true, entry.Args)
	faultKind := ""
	defer func() { trace.done(entry, faultKind) }()
	write := func(status int, answer []byte) {
		if status >= http.StatusBadRequest {
			faultKind = fmt.Sprintf("HTTP %d", status)
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(answer)
	}
	if rule == nil {
		write(carryOut())
		return
	}
	trace.hit(entry, rule)
	if rule.Effect == "call_late" {
		linger(rule)
	} else if rule.Seconds != nil && !pause(r, duration(*rule.Seconds)) {
		panic(http.ErrAbortHandler)
	}
	switch rule.Effect {
	case "drop_before":
		panic(http.ErrAbortHandler)
	case "drop_after":
		carryOut()
		panic(http.ErrAbortHandler)
	case "black_hole":
		select {
		case <-faults.cleared():
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case "http_status":
		write(rule.Status, []byte(messageOrKind(rule)))
	case "malformed":
		write(http.StatusOK, []byte(rule.Message))
	case "truncated":
		status, answer := carryOut()
		write(status, answer[:len(answer)/2])
	case "endless":
		pour(w, rule)
	default: // call_delay, call_late
		write(carryOut())
	}
}

// pour writes without end, until the client goes away: the message of the rule again and again, or spaces.
func pour(w http.ResponseWriter, rule *rule) {
	block := bytes.Repeat([]byte(" "), 1<<16)
	if rule.Message != "" {
		block = bytes.Repeat([]byte(rule.Message), 1+(1<<16)/len(rule.Message))
	}
	for {
		if _, err := w.Write(block); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
