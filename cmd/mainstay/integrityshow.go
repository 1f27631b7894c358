package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

func (p *program) integrityShowVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "show [CLUSTER]",
		Short: "Show what is known of each member's data",
		Long: `Show the verdict on the data of each member, and what it rests on: the agent's last complete scan of the member's files, how
many pages that has verified by their checksums, and how many not: those of free space maps, of unlogged and of temporary
tables, and all where the data has no checksums.
Below the table is the newest comparison of the cluster's members, and for each depth when its last check has ended and when the
next one is due.

"no damage found" says that the pages which were verified matched their checksums when they were read. Damage behind a right
checksum, such as a write that the disk has lost, is found only by ` + "`mainstay integrity check --depth compare`" + `. LAST SCAN
says as well when the next one is due: the first one 10 minutes after the agent's start, or a quarter of ` + "`integrity.every`" + ` in its
file if that is sooner. One member of a host is scanned at a time, and only while it runs undisturbed.`,
		Example: "  mainstay integrity show\n  mainstay integrity show feed --output json",
		Args:    words("[CLUSTER]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			cluster := ""
			if len(args) > 0 {
				cluster = args[0]
			}
			return p.showIntegrity(ctx, cluster)
		}),
	}
	p.completeClusters(c)
	return c
}

func (p *program) showIntegrity(ctx context.Context, cluster string) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var st wire.Status
	if err := p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &st); err != nil {
		return err
	}
	p.remember(s.name, st)
	all := []render.Integrity{} // no member is [], not null
	found := cluster == ""
	for _, c := range st.Clusters {
		if cluster != "" && c.Name != cluster {
			continue
		}
		found = true
		all = append(all, render.Integrities(c)...)
	}
	if !found {
		return refusedf("there is no cluster %s; `mainstay status` shows them", cluster)
	}
	return p.show(all, func(o render.Options) string { return render.Verdicts(all, o) })
}
