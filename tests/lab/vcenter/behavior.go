// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// What vSphere's documentation leaves open, or what differs between its releases: the simulator does either. The configuration
// sets it (behavior), and so does the control endpoint while the simulator runs. Guarded by world.

type behaviors struct {
	NewInstanceUUID           string   `json:"new_instance_uuid"`           // at a registration: if_taken, always, never
	QuiescedAfterRegistration bool     `json:"quiesced_after_registration"` // a registered machine's snapshots still say that they are quiesced
	UUIDAction                bool     `json:"uuid_action"`                 // uuid.action in extraConfig answers the question of a copy
	UUIDChoices               []choice `json:"uuid_choices"`                // of that question, in this order
	QuestionMessages          bool     `json:"question_messages"`           // questions list their messages, not just the text
	KeyProviders              []string `json:"key_providers"`               // of encrypted machines; null: all
	NFSMaxVolumes             int64    `json:"nfs_max_volumes"`             // NFS.MaxVolumes of the hosts
	Start                     startup  `json:"start"`                       // of machines that are powered on
}

// startup says how many seconds after its power-on a guest reports; negative: never.
type startup struct {
	Tools     float64 `json:"tools"`
	Heartbeat float64 `json:"heartbeat"`
	Address   float64 `json:"address"`
	Shutdown  float64 `json:"shutdown"` // after ShutdownGuest, until it is off
}

var behavior = defaultBehavior()

func defaultBehavior() behaviors {
	return behaviors{NewInstanceUUID: "if_taken", QuiescedAfterRegistration: true, UUIDAction: true, QuestionMessages: true,
		UUIDChoices:   []choice{{Key: "0", Label: cancelLabel}, {Key: "1", Label: movedLabel}, {Key: "2", Label: copiedLabel}},
		NFSMaxVolumes: 256}
}

// setBehavior lays JSON over the present behavior.
func setBehavior(raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	fresh := behavior
	fresh.UUIDChoices, fresh.KeyProviders = nil, nil // replaced as a whole
	if err := strictly(raw, &fresh); err != nil {
		return fmt.Errorf("behavior: %v", err)
	}
	if fresh.UUIDChoices == nil {
		fresh.UUIDChoices = behavior.UUIDChoices
	}
	switch fresh.NewInstanceUUID {
	case "if_taken", "always", "never":
	default:
		return fmt.Errorf("behavior: new_instance_uuid is %q", fresh.NewInstanceUUID)
	}
	behavior = fresh
	return nil
}

func changeBehavior(r *http.Request) (interface{}, error) {
	var raw json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
		return nil, err
	}
	world.Lock()
	defer world.Unlock()
	if err := setBehavior(raw); err != nil {
		return nil, err
	}
	for _, h := range inv.hosts {
		h.showOptions()
	}
	return nil, nil
}
