// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"path"
	"sort"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Browsing datastores: the hypervisor lists what is really there. Without one, a datastore holds what the simulated machines
// say that they have.

type datastoreBrowser struct {
	mo.HostDatastoreBrowser
	unlocked
	ds *datastore
}

// found is a file or a folder.
type found struct {
	Path     string  `json:"path"` // from the folder that is listed
	Folder   bool    `json:"folder"`
	Size     int64   `json:"size"`
	Modified float64 `json:"modified"` // seconds since 1970
}

func (b *datastoreBrowser) SearchDatastoreTask(ctx *simulator.Context, req *types.SearchDatastore_Task) soap.HasFault {
	t := b.search(callOf(ctx), "SearchDatastore_Task", req.DatastorePath, req.SearchSpec, false)
	return &methods.SearchDatastore_TaskBody{Res: &types.SearchDatastore_TaskResponse{Returnval: t}}
}

func (b *datastoreBrowser) SearchDatastoreSubFoldersTask(ctx *simulator.Context, req *types.SearchDatastoreSubFolders_Task) soap.HasFault {
	t := b.search(callOf(ctx), "SearchDatastoreSubFolders_Task", req.DatastorePath, req.SearchSpec, true)
	return &methods.SearchDatastoreSubFolders_TaskBody{Res: &types.SearchDatastoreSubFolders_TaskResponse{Returnval: t}}
}

func (b *datastoreBrowser) search(c *call, method, place string, spec *types.HostDatastoreBrowserSearchSpec, below bool) ref {
	world.Lock()
	defer world.Unlock()
	if spec == nil {
		spec = &types.HostDatastoreBrowserSearchSpec{}
	}
	var list []found
	folder, refused := b.folder(place)
	deed := func(*task) fault {
		if refused != nil {
			return refused
		}
		return b.list(folder, &list)
	}
	s := subject{entity: b.ds.Self, name: b.ds.rec.Name}
	return startOn(c, s, method, deed, func(*task) (types.AnyType, fault) {
		if !below {
			return b.results(folder, "", list, spec), nil
		}
		all := types.ArrayOfHostDatastoreBrowserSearchResults{}
		for _, one := range append([]found{{Folder: true}}, list...) {
			if one.Folder {
				all.HostDatastoreBrowserSearchResults = append(all.HostDatastoreBrowserSearchResults, b.results(folder, one.Path, list, spec))
			}
		}
		return all, nil
	})
}

// folder is the folder in a datastore path, which may be the datastore itself.
func (b *datastoreBrowser) folder(place string) (string, fault) {
	name := "[" + b.ds.Name + "]"
	if !strings.HasPrefix(place, name) || strings.Contains(place, "..") {
		return "", &types.InvalidDatastorePath{DatastorePath: place}
	}
	return strings.Trim(strings.TrimPrefix(place, name), " /"), nil
}

// list finds everything below a folder. Called without world held.
func (b *datastoreBrowser) list(folder string, list *[]found) fault {
	if hypervisorAddress != "" && b.ds.rec.Spec != nil {
		if f := askHypervisor("mount", mountArguments(b.ds.rec.Spec, b.ds.rec.Name), nil); f != nil {
			return f
		}
		return askHypervisor("list_files", parameters{"folder": b.ds.file(folder)}, list)
	}
	world.RLock()
	defer world.RUnlock()
	if *list = b.ds.simulatedFiles(folder); *list == nil && folder != "" {
		return &types.FileNotFound{FileFault: types.FileFault{File: "[" + b.ds.Name + "] " + folder}}
	}
	return nil
}

// simulatedFiles are those that machines have below a folder, with the folders that they are in.
func (ds *datastore) simulatedFiles(folder string) (list []found) {
	prefix := "[" + ds.Name + "] " + folder
	if folder != "" {
		prefix += "/"
	}
	known := map[string]bool{}
	add := func(one found) {
		if !known[one.Path] {
			known[one.Path] = true
			list = append(list, one)
		}
	}
	for _, vm := range inv.sortedMachines() {
		for _, file := range vm.LayoutEx.File {
			if !strings.HasPrefix(file.Name, prefix) {
				continue
			}
			rest := strings.TrimPrefix(file.Name, prefix)
			for above := path.Dir(rest); above != "."; above = path.Dir(above) {
				add(found{Path: above, Folder: true})
			}
			add(found{Path: rest, Size: file.Size, Modified: float64(time.Now().Unix())})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return list
}

// results are what is directly in a folder (below the one that was listed) and matches.
func (b *datastoreBrowser) results(folder, below string, list []found, spec *types.HostDatastoreBrowserSearchSpec) types.HostDatastoreBrowserSearchResults {
	r := types.HostDatastoreBrowserSearchResults{Datastore: &b.ds.Self, FolderPath: "[" + b.ds.Name + "] " + path.Join(folder, below)}
	for _, one := range list {
		where, name := path.Split(one.Path)
		if strings.Trim(where, "/") == below && matchesPattern(name, spec) && matchesQuery(one, spec) {
			r.File = append(r.File, one.info(name, spec.Details))
		}
	}
	return r
}

func matchesPattern(name string, spec *types.HostDatastoreBrowserSearchSpec) bool {
	for _, pattern := range spec.MatchPattern {
		if spec.SearchCaseInsensitive == nil || *spec.SearchCaseInsensitive {
			pattern, name = strings.ToLower(pattern), strings.ToLower(name)
		}
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return len(spec.MatchPattern) == 0
}

// kindsOfFiles are the queries and the ends of the names that they find.
var kindsOfFiles = map[string][]string{"VmConfigFileQuery": {".vmx", ".vmtx"}, "VmDiskFileQuery": {".vmdk"}, "VmSnapshotFileQuery": {".vmsn"},
	"VmNvramFileQuery": {".nvram"}, "VmLogFileQuery": {".log"}, "IsoImageFileQuery": {".iso"}}

func matchesQuery(one found, spec *types.HostDatastoreBrowserSearchSpec) bool {
	for _, q := range spec.Query {
		if kind := typeName(q); kind == "FolderFileQuery" && one.Folder || kind == "FileQuery" || !one.Folder && hasEnd(one.Path, kindsOfFiles[kind]) {
			return true
		}
	}
	return len(spec.Query) == 0
}

func hasEnd(name string, ends []string) bool {
	for _, end := range ends {
		if strings.HasSuffix(name, end) && !(end == ".vmdk" && (strings.HasSuffix(name, "-flat.vmdk") || strings.HasSuffix(name, "-delta.vmdk"))) {
			return true
		}
	}
	return false
}

// info is what a client gets of a file: its kind and its details only where it asks for them.
func (one found) info(name string, details *types.FileQueryFlags) types.BaseFileInfo {
	info := types.FileInfo{Path: name}
	if details == nil {
		return &info
	}
	if details.FileSize {
		info.FileSize = one.Size
	}
	if details.Modification {
		at := time.Unix(0, int64(one.Modified*1e9)).UTC()
		info.Modification = &at
	}
	switch {
	case !details.FileType:
		return &info
	case one.Folder:
		return &types.FolderFileInfo{FileInfo: info}
	case hasEnd(name, kindsOfFiles["VmConfigFileQuery"]):
		return &types.VmConfigFileInfo{FileInfo: info}
	case hasEnd(name, kindsOfFiles["VmDiskFileQuery"]):
		return &types.VmDiskFileInfo{FileInfo: info}
	case hasEnd(name, kindsOfFiles["VmSnapshotFileQuery"]):
		return &types.VmSnapshotFileInfo{FileInfo: info}
	}
	return &info
}
