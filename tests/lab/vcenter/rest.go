// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// vCenter's REST API: sessions, and the tags of virtual machines. It has two forms: /rest in every version, with results wrapped
// in {"value": ...}, and /api since 7.0.2. Its calls have names of the lab's own, by which rules, trace and statistics know them;
// the name of the object is the form: rest or api.

const (
	oldSession, oldTagging = "/rest/com/vmware/cis/session", "/rest/com/vmware/cis/tagging/"
	newSession, newTagging = "/api/session", "/api/cis/tagging/"
)

var restSessions = struct {
	sync.Mutex
	users map[string]string // by session ID
}{users: map[string]string{}}

func endRestSessions() {
	restSessions.Lock()
	defer restSessions.Unlock()
	restSessions.users = map[string]string{}
}

// restCall is one request.
type restCall struct {
	form   string // rest, api
	method string // the lab's name for it
	item   string // the ID in its address
	body   struct {
		CategoryID string `json:"category_id"`
		ObjectIDs  []struct {
			Type string `json:"type"`
			ID   string `json:"id"`
		} `json:"object_ids"`
	}
}

// isREST tells whether a request is for a form of the API that the server has.
func (e *endpoint) isREST(r *http.Request) bool {
	if inv.esx {
		return false
	}
	return strings.HasPrefix(r.URL.Path, "/rest/") || strings.HasPrefix(r.URL.Path, "/api/") && e.apiVersion >= "7.0.2"
}

func serveREST(w http.ResponseWriter, r *http.Request) {
	c := parseREST(r)
	if c == nil {
		http.NotFound(w, r)
		return
	}
	user, key := "", r.Header.Get("vmware-api-session-id")
	restSessions.Lock()
	user = restSessions.users[key]
	restSessions.Unlock()
	if c.method == "Rest.Login" {
		key = ""
	}
	entry := &traceEntry{Kind: "call", Method: c.method, Object: c.form, User: user, Session: key}
	answerHTTP(w, r, entry, c.form, "application/json", func() (int, []byte) { return c.answer(r, user, key) })
}

// parseREST is nil for a request that the lab does not know.
func parseREST(r *http.Request) *restCall {
	c := &restCall{form: "rest"}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		c.form = "api"
	}
	_ = json.NewDecoder(r.Body).Decode(&c.body)
	if r.URL.Path == oldSession || r.URL.Path == newSession {
		c.method = map[string]string{http.MethodPost: "Rest.Login", http.MethodDelete: "Rest.Logout"}[r.Method]
	} else {
		path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, oldTagging), newTagging)
		part := strings.SplitN(path, "/", 2)
		what := r.Method + " " + part[0]
		if len(part) == 2 {
			c.item = strings.TrimPrefix(part[1], "id:")
			what += " id"
		}
		action := r.URL.Query().Get("action")
		if c.form == "rest" {
			action = r.URL.Query().Get("~action")
		}
		if action != "" {
			what += " " + action
		}
		c.method = restMethods[what]
	}
	if c.method == "" {
		return nil
	}
	return c
}

var restMethods = map[string]string{
	"GET category":                       "Rest.ListCategories",
	"GET category id":                    "Rest.GetCategory",
	"GET tag id":                         "Rest.GetTag",
	"POST tag id list-tags-for-category": "Rest.ListTagsForCategory", // rest
	"POST tag list-tags-for-category":    "Rest.ListTagsForCategory", // api
	"POST tag-association list-attached-tags-on-objects": "Rest.ListAttachedTagsOnObjects",
}

// answer carries the call out.
func (c *restCall) answer(r *http.Request, user, key string) (int, []byte) {
	switch {
	case c.method == "Rest.Login":
		return c.login(r)
	case user == "":
		return c.refuse(http.StatusUnauthorized, "unauthenticated")
	case c.method == "Rest.Logout":
		restSessions.Lock()
		delete(restSessions.users, key)
		restSessions.Unlock()
		if c.form == "api" {
			return http.StatusNoContent, nil
		}
		return http.StatusOK, []byte("{}")
	}
	world.RLock()
	defer world.RUnlock()
	result, status := c.tagging()
	switch status {
	case http.StatusForbidden:
		return c.refuse(status, "unauthorized")
	case http.StatusNotFound:
		return c.refuse(status, "not_found")
	}
	return status, c.encode(result)
}

func (c *restCall) login(r *http.Request) (int, []byte) {
	user, password, ok := r.BasicAuth()
	if !ok || !sessions.knows(user) || password != sessions.password {
		return c.refuse(http.StatusUnauthorized, "unauthenticated")
	}
	key := strings.ReplaceAll(uuid.New().String(), "-", "")
	restSessions.Lock()
	restSessions.users[key] = user
	restSessions.Unlock()
	if c.form == "api" {
		return http.StatusCreated, c.encode(key)
	}
	return http.StatusOK, c.encode(key)
}

func (c *restCall) encode(result interface{}) []byte {
	if c.form == "rest" {
		result = map[string]interface{}{"value": result}
	}
	raw, _ := json.Marshal(result)
	return raw
}

func (c *restCall) refuse(status int, kind string) (int, []byte) {
	messages := []map[string]interface{}{{"default_message": "This is what the lab says: " + kind, "id": "lab." + kind, "args": []string{}}}
	var result interface{} = map[string]interface{}{"error_type": strings.ToUpper(kind), "messages": messages}
	if c.form == "rest" {
		result = map[string]interface{}{"type": "com.vmware.vapi.std.errors." + kind, "value": map[string]interface{}{"messages": messages}}
	}
	raw, _ := json.Marshal(result)
	return status, raw
}

// ---- Tags

type tag struct{ category, name string }

func (t tag) id() string { return urn("Tag", t.category+"/"+t.name) }
func urn(kind, text string) string {
	return fmt.Sprintf("urn:vmomi:InventoryService%s:%s:GLOBAL", kind, uuidOf(kind+" "+text))
}
func categoryID(category string) string { return urn("Category", category) }

// hidden tags are left out without a word, as in vCenter: those on which System.Read is denied, by the name "tag Category/Name".
func (t tag) hidden() bool {
	denials.Lock()
	defer denials.Unlock()
	for _, d := range denials.list {
		if d.Object != "" && d.Privilege == "System.Read" && matches(d.Object, "tag "+t.category+"/"+t.name) {
			return true
		}
	}
	return false
}

// tags lists those of one machine, in order.
func (vm *machine) tags() (list []tag) {
	for category, names := range vm.rec.Config.Tags {
		for _, name := range names {
			if t := (tag{category, name}); !t.hidden() {
				list = append(list, t)
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].id() < list[j].id() })
	return list
}

// known are all categories by their ID, and the tags in each by theirs.
func known() (categories map[string]string, tags map[string]tag) {
	categories, tags = map[string]string{}, map[string]tag{}
	for _, vm := range inv.machines {
		for category := range vm.rec.Config.Tags {
			categories[categoryID(category)] = category
		}
		for _, t := range vm.tags() {
			tags[t.id()] = t
		}
	}
	return categories, tags
}

// tagging answers the calls about tags. Called with world held.
func (c *restCall) tagging() (result interface{}, status int) {
	categories, tags := known()
	category, tagged := categories[c.item], tags[c.item]
	ids := []string{}
	switch c.method {
	case "Rest.ListCategories":
		for id := range categories {
			ids = append(ids, id)
		}
		sort.Strings(ids)
		return ids, http.StatusOK
	case "Rest.GetCategory":
		if category == "" {
			return nil, http.StatusNotFound
		}
		return map[string]interface{}{"id": c.item, "name": category, "description": "", "cardinality": "MULTIPLE",
			"associable_types": []string{}, "used_by": []string{}}, http.StatusOK
	case "Rest.ListTagsForCategory":
		wanted := c.item + c.body.CategoryID
		for id, t := range tags {
			if categoryID(t.category) == wanted {
				ids = append(ids, id)
			}
		}
		sort.Strings(ids)
		return ids, http.StatusOK
	case "Rest.GetTag":
		if tagged.name == "" {
			return nil, http.StatusNotFound
		}
		return map[string]interface{}{"id": c.item, "name": tagged.name, "description": "", "category_id": categoryID(tagged.category),
			"used_by": []string{}}, http.StatusOK
	}
	return c.attached()
}

// attached needs the right to read every object that is asked about; an object that is not there cannot be read.
func (c *restCall) attached() (result interface{}, status int) {
	list := []map[string]interface{}{}
	for _, object := range c.body.ObjectIDs {
		vm := inv.machines[object.ID]
		if vm == nil || object.Type != "VirtualMachine" || denied("System.Read", vm.Self) {
			return nil, http.StatusForbidden
		}
		ids := []string{}
		for _, t := range vm.tags() {
			ids = append(ids, t.id())
		}
		if len(ids) > 0 {
			list = append(list, map[string]interface{}{"object_id": object, "tag_ids": ids})
		}
	}
	return list, http.StatusOK
}
