package device

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mainstay/fencing/program"
)

// Agents are the fence agents installed on this host. The zero value searches the folders that distributions use.
type Agents struct {
	Folders []string // to search, in that order; nil for the usual ones
	// Allowed are the programs that devices may run besides the agents: those of exec and of parameters.
	Allowed program.Allowed

	mu    sync.Mutex
	known map[string]described // by path
}

// described is cached as long as the agent's file stays the same.
type described struct {
	changed time.Time
	size    int64
	data    *Metadata
}

const describeWithin = 10 * time.Second // some agents load large libraries first

// Metadata is an agent's description of itself.
type Metadata struct {
	Agent      string      `xml:"name,attr"`
	Parameters []Parameter `xml:"parameters>parameter"`
	Actions    []Action    `xml:"actions>action"`
}

// Parameter is one of an agent's parameters.
type Parameter struct {
	Name       string  `xml:"name,attr"`
	Required   int     `xml:"required,attr"`   // 1 for yes
	Deprecated int     `xml:"deprecated,attr"` // 1 for an old name
	Obsoletes  string  `xml:"obsoletes,attr"`  // the old name that this one replaces
	Content    Content `xml:"content"`
}

// Content is the type of a parameter: string, boolean, integer, second or select.
type Content struct {
	Type    string  `xml:"type,attr"`
	Default *string `xml:"default,attr"`
	Options []struct {
		Value string `xml:"value,attr"`
	} `xml:"option"`
}

// Action is one of an agent's actions. An automatic "on" belongs to an agent that cuts a host off from storage or network.
type Action struct {
	Name      string `xml:"name,attr"`
	Automatic int    `xml:"automatic,attr"`
}

// find returns the path of an installed agent.
func (a *Agents) find(agent string) (string, error) {
	folders := a.Folders
	if folders == nil {
		folders = []string{"/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"}
	}
	if filepath.Base(agent) != agent || !strings.HasPrefix(agent, "fence_") {
		return "", fmt.Errorf("%q is not the name of a fence agent", agent)
	}
	for _, f := range folders {
		path := filepath.Join(f, agent)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed in %s: install the package fence-agents on every controller",
		agent, strings.Join(folders, ", "))
}

// Metadata asks an agent to describe itself, once for each version of the agent's file.
func (a *Agents) Metadata(ctx context.Context, agent string) (*Metadata, error) {
	path, err := a.find(agent)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	d, ok := a.known[path]
	a.mu.Unlock()
	if ok && d.changed.Equal(info.ModTime()) && d.size == info.Size() {
		return d.data, nil
	}
	m, err := describe(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("read the metadata of %s: %w", agent, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = map[string]described{}
	}
	a.known[path] = described{info.ModTime(), info.Size(), m}
	return m, nil
}

func describe(ctx context.Context, path string) (*Metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, describeWithin)
	defer cancel()
	e, err := program.Run(ctx, program.Call{Path: path, Args: []string{"-o", "metadata"}, Env: environment()})
	if err != nil {
		return nil, err
	}
	if e.Code != 0 {
		return nil, errors.New("it " + said(e, nil))
	}
	m := &Metadata{}
	if err := xml.Unmarshal([]byte(e.Stdout), m); err != nil {
		return nil, fmt.Errorf("its metadata is not understood: %w", err)
	}
	if len(m.Parameters) == 0 || len(m.Actions) == 0 {
		return nil, errors.New("its metadata names no parameters or no actions")
	}
	return m, nil
}

// hollow lists the agents whose status says nothing about power.
var hollow = map[string]string{
	"fence_dummy": "only pretends",
	"fence_sbd":   "asks the host to reset itself and waits",
}

// proves returns the reason why the agent's actions do not prove that a host has no power; nil if they do.
func (m *Metadata) proves() error {
	can := func(name string) bool {
		return slices.ContainsFunc(m.Actions, func(a Action) bool { return a.Name == name })
	}
	if why := hollow[m.Agent]; why != "" {
		return fmt.Errorf("%s %s, so it proves nothing; use an agent of a power device", m.Agent, why)
	}
	for _, need := range []string{"off", "status"} {
		if !can(need) {
			return fmt.Errorf("%s has no action %s, so it proves nothing; use an agent that has one", m.Agent, need)
		}
	}
	if slices.ContainsFunc(m.Actions, func(a Action) bool { return a.Name == "on" && a.Automatic == 1 }) {
		return fmt.Errorf("%s cuts a host off from storage or network, not from power: PostgreSQL would keep running; "+
			"use an agent of a power device", m.Agent)
	}
	return nil
}

// parameter finds a parameter by its name, in which agents accept - and _ alike.
func (m *Metadata) parameter(name string) *Parameter {
	same := func(p Parameter) bool { return plain(p.Name) == plain(name) }
	if i := slices.IndexFunc(m.Parameters, same); i >= 0 {
		return &m.Parameters[i]
	}
	return nil
}

func plain(name string) string { return strings.ReplaceAll(name, "-", "_") }
