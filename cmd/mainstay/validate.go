package main

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/config"
	"mainstay/controller/platform"
	programs "mainstay/fencing/program"
)

// kinds are the kinds of files that validate knows.
var kinds = []string{"platform", "controller", "agent", "contexts"}

// kindKeys tell the kinds apart: the first of these keys at the start of a line decides.
var kindKeys = []struct {
	kind string
	key  *regexp.Regexp
}{
	{"platform", regexp.MustCompile(`(?m)^platform:`)},
	{"contexts", regexp.MustCompile(`(?m)^contexts:`)},
	{"agent", regexp.MustCompile(`(?m)^(host|postgres|members):`)},
	{"controller", regexp.MustCompile(`(?m)^(name|site|etcd|metrics):`)},
}

func kindOf(data []byte) string {
	for _, k := range kindKeys {
		if k.key.Match(data) {
			return k.kind
		}
	}
	return ""
}

func (p *program) validateVerb() *cobra.Command {
	var files []string
	var kind string
	c := &cobra.Command{
		Use:   "validate -f FILE...",
		Short: "Check files for mistakes",
		Long: `Check platform files, the local files of controllers and agents, and contexts files, and show every mistake with its line.
No request is sent. The kind of a file is told from its keys, or given with --kind. The files of controllers and agents name
certificates and folders: check them on the daemon's host, as the daemon's user.`,
		Example: "  mainstay validate -f platform.yaml\n  mainstay validate -f /etc/mainstay/agent.yaml --kind agent",
		RunE: p.verb(func(_ context.Context, args []string) error {
			files = append(files, args...)
			if len(files) == 0 {
				return usagef("-f is missing: name the files to check")
			}
			if kind != "" && !slices.Contains(kinds, kind) {
				return usagef("--kind %s: want %s", quote(kind), strings.Join(kinds, ", "))
			}
			return p.validate(files, kind)
		}),
	}
	c.Flags().StringArrayVarP(&files, "file", "f", nil, "a file to check; may be repeated (required)")
	c.Flags().StringVar(&kind, "kind", "", strings.Join(kinds, ", ")+" (default: told from the file)")
	register(c, "kind", cobra.FixedCompletions(kinds, noFiles))
	return c
}

// checked is the outcome for one file.
type checked struct {
	File     string   `json:"file"`
	Kind     string   `json:"kind,omitempty"`
	Mistakes []string `json:"mistakes"`
	// Notes name changes in other files without which this one does not work.
	Notes []string `json:"notes,omitempty"`
}

func (p *program) validate(files []string, kind string) error {
	var all []checked
	bad := false
	for _, f := range files {
		c := p.check(f, kind)
		bad = bad || len(c.Mistakes) > 0
		all = append(all, c)
	}
	err := p.show(all, func(render.Options) string {
		var b strings.Builder
		for _, c := range all {
			if len(c.Mistakes) == 0 {
				b.WriteString(c.File + ": no mistakes (" + c.Kind + " file)\n")
			}
			for _, m := range append(c.Mistakes, c.Notes...) {
				b.WriteString(m + "\n")
			}
		}
		return b.String()
	})
	if err == nil && bad {
		err = quietError{exitFailed}
	}
	return err
}

func (p *program) check(file, kind string) checked {
	data, err := p.read(file)
	if err != nil {
		return checked{File: file, Kind: kind, Mistakes: []string{err.Error()}}
	}
	var notes []string
	if kind == "" {
		kind = kindOf(data)
	}
	switch kind {
	case "platform":
		var pl *platform.Platform
		if pl, err = config.ParsePlatform(file, data); err == nil {
			notes = programNotes(pl)
		}
	case "controller":
		_, err = config.LoadController(file)
	case "agent":
		_, err = config.LoadAgent(file)
	case "contexts":
		_, err = config.LoadContext(file)
	default:
		mistake := file + ": the kind of this file is not clear; give it with --kind " + strings.Join(kinds, "|")
		return checked{File: file, Mistakes: []string{mistake}}
	}
	c := checked{File: file, Kind: kind, Mistakes: []string{}, Notes: notes}
	if err != nil {
		c.Mistakes = strings.Split(err.Error(), "\n")
	}
	return c
}

// programNotes name the programs that the controllers' own files must allow, without which a controller refuses to run them.
func programNotes(pl *platform.Platform) []string {
	wanted := pl.Programs()
	if len(wanted) == 0 {
		return nil
	}
	return []string{"each controller's own file must contain `" + programs.Allowed(nil).With(wanted...) +
		"`, beside the other programs that it allows"}
}
