package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

func (p *program) diffVerb() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what applying a platform file would change",
		Long: `Show the difference between the stored platform and a platform file, one line for each change: + added, - removed,
~ changed. Nothing is changed. Each mistake in the file is shown with its line.`,
		Example: "  mainstay diff -f platform.yaml",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			w, err := p.wanted(file)
			if err != nil {
				return err
			}
			var now wire.PlatformAnswer
			if err := p.withLeader(ctx, http.MethodGet, "/v1/platform", nil, &now); err != nil {
				return err
			}
			return p.showDiff(difference{Changes: config.Diff(now.Platform, w.platform), Version: now.Version})
		}),
	}
	fileFlag(c, &file)
	return c
}

func fileFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "file", "f", "", "the platform file; - for standard input (required)")
}

// wanted is a platform file that has no mistakes.
type wanted struct {
	platform *platform.Platform
	base     uint64 // the version it was exported from; 0 where the file does not name it
}

// wanted reads a platform file. The error lists every mistake with its line.
func (p *program) wanted(file string) (wanted, error) {
	if file == "" {
		return wanted{}, usagef("-f is missing: name the platform file")
	}
	data, err := p.read(file)
	if err != nil {
		return wanted{}, err
	}
	pl, err := config.ParsePlatform(file, data)
	if err != nil {
		return wanted{}, err
	}
	base, _ := config.ExportedVersion(data)
	return wanted{pl, base}, nil
}

// maxFile is one byte more than the limit of a local or platform file (1 MiB), so that a larger file is noticed.
const maxFile = 1<<20 + 1

func (p *program) read(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(p.stdin, maxFile))
	}
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // so that a named pipe without a writer reads as empty
	if err != nil {
		return nil, config.Unreadable(file, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, config.Unreadable(file, err)
	}
	return data, nil
}

// difference is what diff and apply show.
type difference struct {
	Changes []config.Change `json:"changes"`
	Version uint64          `json:"version"` // in force
	Applied bool            `json:"applied"`
	Note    string          `json:"note,omitempty"`
}

func (p *program) showDiff(d difference) error {
	d.Changes = append([]config.Change{}, d.Changes...) // no change is [], not null
	return p.show(d, func(render.Options) string {
		s := config.FormatDiff(d.Changes)
		if len(d.Changes) == 0 {
			s = "nothing to change\n"
		}
		if d.Note != "" {
			s += d.Note + "\n"
		}
		return s
	})
}
