// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Sessions: login of the administrator and of further users, who share the password, logout, and an end on demand.

const cookieName = "vmware_soap_session"

type session struct {
	*simulator.Session
	ended chan struct{} // closed with the session: whoever waits in it is sent away
}

type sessionManager struct {
	mo.SessionManager
	unlocked
	user, password string
	mu             sync.Mutex
	live           map[string]*session
	further        map[string]bool // users with the privileges that they are given
}

var sessions = &sessionManager{live: map[string]*session{}, further: map[string]bool{}}

func (m *sessionManager) add(user string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.further[user] = true
}

func (m *sessionManager) knows(user string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return user == m.user || m.further[user]
}

func (m *sessionManager) get(key string) *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live[key]
}

// end ends one session, or all of them (key ""), and what they held.
func (m *sessionManager) end(key string) {
	var ended []string
	m.mu.Lock()
	for k, s := range m.live {
		if key == "" || k == key {
			delete(m.live, k)
			close(s.ended)
			ended = append(ended, k)
		}
	}
	m.mu.Unlock()
	for _, k := range ended {
		hub.forget(k)
	}
}

func (m *sessionManager) Login(ctx *simulator.Context, req *types.Login) soap.HasFault {
	if !m.knows(req.UserName) || req.Password != m.password {
		return &methods.LoginBody{Fault_: soapFault(&types.InvalidLogin{}, "")}
	}
	now := time.Now().UTC()
	locale := req.Locale
	if locale == "" {
		locale = "de" // as on a server that was installed in German
	}
	c := callOf(ctx)
	s := &session{ended: make(chan struct{}), Session: &simulator.Session{Registry: simulator.NewRegistry(),
		UserSession: types.UserSession{Key: uuid.New().String(), UserName: req.UserName, FullName: req.UserName, LoginTime: now,
			LastActiveTime: now, Locale: locale, MessageLocale: locale, UserAgent: c.request.UserAgent(), ExtensionSession: types.NewBool(false)}}}
	s.Registry.Put(newCollector(s.Key, serviceContent().PropertyCollector)) // each session has a default one of its own
	m.mu.Lock()
	m.live[s.Key] = s
	m.mu.Unlock()
	c.user = req.UserName
	http.SetCookie(c.response, &http.Cookie{Name: cookieName, Value: s.Key, Path: "/", HttpOnly: true, Secure: true})
	return &methods.LoginBody{Res: &types.LoginResponse{Returnval: s.UserSession}}
}

func (m *sessionManager) Logout(ctx *simulator.Context, _ *types.Logout) soap.HasFault {
	m.end(ctx.Session.Key)
	return &methods.LogoutBody{Res: &types.LogoutResponse{}}
}

func (m *sessionManager) SessionIsActive(_ *simulator.Context, req *types.SessionIsActive) soap.HasFault {
	if inv.esx {
		return &methods.SessionIsActiveBody{Fault_: soapFault(&types.NotImplemented{}, "")}
	}
	s := m.get(req.SessionID)
	return &methods.SessionIsActiveBody{Res: &types.SessionIsActiveResponse{Returnval: s != nil && s.UserName == req.UserName}}
}

func (m *sessionManager) TerminateSession(ctx *simulator.Context, req *types.TerminateSession) soap.HasFault {
	for _, key := range req.SessionId {
		if key == ctx.Session.Key {
			return &methods.TerminateSessionBody{Fault_: soapFault(&types.InvalidArgument{InvalidProperty: "sessionId"}, "")}
		}
		if m.get(key) == nil {
			return &methods.TerminateSessionBody{Fault_: soapFault(&types.NotFound{}, "")}
		}
		m.end(key)
	}
	return &methods.TerminateSessionBody{Res: &types.TerminateSessionResponse{}}
}

// view is the session manager as one session sees it: with its own session as the current one.
func (m *sessionManager) view(s *simulator.Session) *mo.SessionManager {
	v := m.SessionManager
	if s != nil {
		v.CurrentSession = &s.UserSession
		m.mu.Lock()
		for _, other := range m.live {
			v.SessionList = append(v.SessionList, other.UserSession)
		}
		m.mu.Unlock()
	}
	return &v
}
