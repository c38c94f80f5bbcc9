// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Questions: a task that powers a machine on can wait for an answer. A machine whose files were moved or copied asks
// which of the two it was; the configuration can let it ask another question.

const (
	cancelLabel = "button.uuid.cancel"
	movedLabel  = "button.uuid.movedTheVM"
	copiedLabel = "button.uuid.copiedTheVM"
	uuidMessage = "msg.uuid.altered"
	uuidText    = "This virtual machine might have been moved or copied.\nIn order to configure certain management and networking " +
		"features, VMware ESX needs to know if this virtual machine was moved or copied.\n\nIf you don't know, answer \"I Copied It\"."
)

// choice is one of the answers to a question: clients send the key, people read the summary.
type choice struct {
	Key     string `json:"key"` // default: its place in the list
	Label   string `json:"label"`
	Summary string `json:"summary"`
	Cancel  bool   `json:"cancel"` // the task fails then
}

type questionConfig struct {
	ID      string   `json:"id"`
	Text    string   `json:"text"`
	Choices []choice `json:"choices"`
	Default int32    `json:"default"`
}

// question waits for its answer. Guarded by world, but for the channel.
type question struct {
	info   *types.VirtualMachineQuestionInfo
	answer chan string // the key
}

var summaries = map[string]string{cancelLabel: "Cancel", movedLabel: "I Moved It", copiedLabel: "I Copied It"}

// uuidQuestion is asked of a machine that was moved or copied. The numbers and the order of its answers are part of the behavior.
func uuidQuestion() questionConfig {
	choices := append([]choice{}, behavior.UUIDChoices...)
	for i := range choices {
		choices[i].Cancel = choices[i].Label == cancelLabel
	}
	return questionConfig{ID: uuidMessage, Text: uuidText, Choices: choices, Default: int32(len(choices) - 1)}
}

// keyed gives every choice a key and a summary.
func (q questionConfig) keyed() []choice {
	choices := append([]choice{}, q.Choices...)
	for i := range choices {
		c := &choices[i]
		if c.Key == "" {
			c.Key = fmt.Sprint(i)
		}
		if c.Summary == "" {
			c.Summary = summaries[c.Label]
		}
		if c.Summary == "" {
			c.Summary = c.Label
		}
	}
	return choices
}

// ask publishes a question and waits for its answer. The task's cancelling and the machine's end are answers too: a fault.
func (vm *machine) ask(t *task, q questionConfig) (choice, fault) {
	choices := q.keyed()
	world.Lock()
	inv.lastQuestion++
	asked := &question{info: questionInfo(fmt.Sprint(inv.lastQuestion), q, choices), answer: make(chan string, 1)}
	vm.question = asked
	f := errorToFault(vm.show())
	world.Unlock()
	if f != nil {
		return choice{}, f
	}
	key, f := "", fault(nil)
	select {
	case key = <-asked.answer:
	case <-t.cancel:
		f = &types.RequestCanceled{}
	case <-t.gone:
		f = &types.ManagedObjectNotFound{Obj: t.entity}
	}
	world.Lock()
	defer world.Unlock()
	vm.question = nil
	if t.there() {
		_ = vm.show()
	}
	for _, c := range choices {
		if f == nil && c.Key == key {
			if c.Cancel {
				return c, &types.GenericVmConfigFault{Reason: q.ID + " was answered with " + c.Label}
			}
			return c, nil
		}
	}
	return choice{}, f
}

func questionInfo(id string, q questionConfig, choices []choice) *types.VirtualMachineQuestionInfo {
	info := &types.VirtualMachineQuestionInfo{Id: id, Text: q.ID + ":" + q.Text}
	if behavior.QuestionMessages {
		info.Message = []types.VirtualMachineMessage{{Id: q.ID, Text: q.Text}}
	}
	info.Choice.DefaultIndex = q.Default
	for _, c := range choices {
		info.Choice.ChoiceInfo = append(info.Choice.ChoiceInfo, &types.ElementDescription{Key: c.Key,
			Description: types.Description{Label: c.Label, Summary: c.Summary}})
	}
	return info
}

// AnswerVM answers the question that is open: another one's ID or an unknown choice is refused.
func (vm *machine) AnswerVM(ctx *simulator.Context, req *types.AnswerVM) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	refuse := func(f fault) soap.HasFault { return &methods.AnswerVMBody{Fault_: soapFault(f, "")} }
	if vm.question == nil || vm.question.info.Id != req.QuestionId {
		return refuse(&types.ConcurrentAccess{})
	}
	for _, c := range vm.question.info.Choice.ChoiceInfo {
		if c.GetElementDescription().Key == req.AnswerChoice {
			select {
			case vm.question.answer <- req.AnswerChoice:
			default: // another client was faster
				return refuse(&types.ConcurrentAccess{})
			}
			return &methods.AnswerVMBody{Res: &types.AnswerVMResponse{}}
		}
	}
	return refuse(&types.InvalidArgument{InvalidProperty: "answerChoice"})
}

// settleIdentity finds out whether a machine was moved or copied: "" if neither. Its extraConfig may say so, otherwise it asks.
func (vm *machine) settleIdentity(t *task) (string, fault) {
	world.RLock()
	copy, action, q := vm.isCopy(), vm.extraConfig()["uuid.action"], uuidQuestion()
	honored := behavior.UUIDAction
	world.RUnlock()
	if !copy {
		return "", nil
	}
	switch answer := strings.ToLower(action); {
	case honored && answer == "keep":
		return "moved", nil
	case honored && answer == "create":
		return "copied", nil
	}
	answer, f := vm.ask(t, q)
	if answer.Label == copiedLabel {
		return "copied", f
	}
	return "moved", f
}

func (vm *machine) extraConfig() map[string]string {
	if vm.rec.Files != nil {
		return vm.rec.Files.Hardware.Extra
	}
	return vm.rec.Config.ExtraConfig
}

// identify gives a simulated machine its identity where it is: a copy gets a new BIOS UUID, and new addresses for its cards
// unless they are chosen by hand. Called with world held.
func (vm *machine) identify(how string) {
	if vm.rec.Config.Real || how == "" {
		return
	}
	vm.rec.Location = vm.location()
	if how != "copied" {
		return
	}
	c := &vm.rec.Config
	c.BiosUUID = uuidOf(fmt.Sprintf("bios of the copy %s %s", vm.rec.Moid, c.BiosUUID))
	c.Cards = append([]card{}, c.Cards...)
	for i := range c.Cards {
		if c.Cards[i].MACType != "manual" {
			c.Cards[i].MAC = macOf(c.BiosUUID + c.Cards[i].MAC)
		}
	}
}
