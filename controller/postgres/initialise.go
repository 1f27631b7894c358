package postgres

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Initialise runs initdb, with checksums and scram, and leaves a directory that starts as a standby: only Start with
// AsPrimary, under a lease, makes it writable (S4).
func (i *Server) Initialise(ctx context.Context) (err error) {
	defer i.wrap("initialise", &err)
	return i.build(ctx, "init", false, func(tmp string) error {
		if err := i.initdb(ctx, tmp); err != nil {
			return err
		}
		hba := i.Owner.writeFile(filepath.Join(tmp, "pg_hba.conf"), []byte(i.hba()), 0o600)
		ident := i.Owner.writeFile(filepath.Join(tmp, "pg_ident.conf"), []byte(i.ident()), 0o600)
		return errors.Join(hba, ident, i.startValues(filepath.Join(tmp, "postgresql.conf")))
	})
}

// startValues adds the user's settings to the configuration that initdb has made.
func (i *Server) startValues(conf string) error {
	if len(i.Begin) == 0 {
		return nil
	}
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	text = append(text, "\n# Start values from the agent's file (postgres.parameters); yours from now on:\n"...)
	for _, name := range slices.Sorted(maps.Keys(i.Begin)) {
		text = append(text, name+" = "+quoteConf(i.Begin[name])+"\n"...)
	}
	return i.Owner.writeFile(conf, text, 0o600)
}

// initdb prefers C.UTF-8, which not every C library has.
func (i *Server) initdb(ctx context.Context, dir string) error {
	args := []string{"-D", dir, "-k", "--auth-local=peer", "--auth-host=scram-sha-256", "-E", "UTF8", "-U", i.superuser()}
	_, err := i.run(ctx, "initdb", append(args, "--locale=C.UTF-8")...)
	var failed *CommandError
	if errors.As(err, &failed) && strings.Contains(failed.Tail, "invalid locale name") {
		_, err = i.run(ctx, "initdb", append(args, "--locale=C")...)
	}
	return err
}

// hbaPlace is where the user's own rules belong in a pg_hba.conf of ours.
const hbaPlace = "# Add your own lines here:"

const (
	identMap = "mainstay"
	probeMap = "mainstay-probe"
)

// hba lets our accounts in by certificate only, all others by scram, and local users as themselves. A certificate
// of a member names its account in its common name; mainstay_probe is for the certificates of controllers. The first line
// that matches decides, so the user's place is above the lines that match everybody, and below those that the agent needs.
func (i *Server) hba() string {
	su := quoteIdent(i.superuser())
	lines := []string{
		"# Written by Mainstay when it initialised this cluster; yours from now on, on each member. The first line that matches decides.",
		"# The accounts of Mainstay:",
		"local   all          " + su + "                      peer map=" + identMap,
		"hostssl replication  " + ReplicationUser + "  all  cert",
		"hostssl all          " + ReplicationUser + "  all  cert",
		"hostssl all          " + ProbeUser + "        all  cert clientname=DN map=" + probeMap,
		"",
		hbaPlace,
		"",
		"# All others:",
		"local   all          all                             peer",
		"host    all          all                   all  scram-sha-256",
	}
	return strings.Join(lines, "\n") + "\n"
}

// ident maps the data's owner to the superuser, whatever the two are called, and every controller to the probe's account.
func (i *Server) ident() string {
	return "# Written by Mainstay: the operating system's owner of the data is the superuser, controllers are the probe.\n" +
		identMap + " " + quoteIdent(i.Owner.Name) + " " + quoteIdent(i.superuser()) + "\n" +
		probeMap + ` "/^CN=[A-Za-z0-9._-]+,OU=controller," ` + ProbeUser + "\n"
}
