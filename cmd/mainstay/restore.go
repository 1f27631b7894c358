package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

func (p *program) restoreVerb() *cobra.Command {
	w := work{req: wire.BackupRequest{Work: platform.BackupRestore}}
	to := ""
	c := &cobra.Command{
		Use:   "restore CLUSTER [--to POINT]",
		Short: "Restore a backup into a folder, proven",
		Long: `Restore a cluster's data as it was at a point, into a folder in the staging of an agent's host. The copy is proven there: a server
that reaches nothing else recovers it, answers the checks, and is stopped. No member is touched. The last line says where the copy
lies; "mainstay help backups" says how to start it.

--to is "latest" (the end of the archive), a time such as 2026-11-30T12:00:00Z (the first commit after it is not in it), an LSN such
as 0/6000198, or the name of a restore point. Without --to the copy ends where the backup does.

The plan says from which backup, target and WAL, and how long the last restore took. A backup that is not good is restored only with --accept-damage REASON.`,
		Example: "  mainstay restore feed --to latest --dry-run\n  mainstay restore feed --to 2026-11-30T12:00:00Z\n" +
			"  mainstay restore feed --backup feed-b12 --from vault",
		Args: words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) (err error) {
			if w.req.Until, err = restorePoint(to); err != nil {
				return err
			}
			return p.workOn(ctx, args[0], w, "")
		}),
	}
	w.flags(c)
	c.Flags().StringVar(&to, "to", "", "latest, a time, an LSN or the name of a restore point (default: the end of the backup)")
	c.Flags().StringVar(&w.req.Backup, "backup", "", "the backup to begin from (default: the newest good one that reaches the point)")
	c.Flags().StringVar(&w.req.Target, "from", "", "the target")
	c.Flags().StringVar(&w.req.Accept, "accept-damage", "", "why a backup that is not good is used, for the record")
	p.completeClusters(c)
	return c
}

// restorePoint reads --to.
func restorePoint(to string) (at platform.RestorePoint, err error) {
	switch {
	case to == "":
		return at, nil
	case to == "latest":
		return platform.RestorePoint{Latest: true}, nil
	case len(to) > 63:
		return at, usagef("--to %s: want latest, a time, an LSN or the name of a restore point", quote(to))
	}
	if lsn, err := platform.ParseLSN(to); err == nil && lsn > 0 {
		return platform.RestorePoint{LSN: lsn}, nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05.999999Z07", "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(form, to); err == nil {
			return platform.RestorePoint{Time: t.UTC().Format(time.RFC3339Nano)}, nil
		}
	}
	if _, err := time.Parse("2006-01-02", to[:min(10, len(to))]); err == nil {
		return at, usagef("--to %s: a time needs its zone, such as 2026-11-30T12:00:00Z", quote(to))
	}
	if strings.ContainsAny(to, "/") {
		return at, usagef("--to %s is no LSN: want two hexadecimal halves such as 0/6000198", quote(to))
	}
	return platform.RestorePoint{Name: to}, nil
}
