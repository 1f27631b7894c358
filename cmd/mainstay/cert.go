package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/identity"
)

func (p *program) certVerb() *cobra.Command {
	return p.group(&cobra.Command{
		Use:   "cert COMMAND",
		Short: "Make and show certificates",
		Long: `Make the platform's own CA and its certificates. A certificate identifies its holder by the platform, a role (controller,
agent, operator, viewer, postgres) and a name. These commands work on files alone. Keep the CA's folder off the hosts:
with ca.key anyone can impersonate any holder.`,
		Example: "  mainstay cert init social\n  mainstay cert issue --role operator --name anna\n  mainstay cert show ca/operator-anna.crt",
	}, p.certInitVerb(), p.certIssueVerb(), p.certShowVerb())
}

func (p *program) certInitVerb() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "init PLATFORM",
		Short: "Make the CA of a platform",
		Long: `Make the CA of a platform: ca.crt, which every host gets, and ca.key, which stays where certificates are issued. An existing CA
is never overwritten.`,
		Example: "  mainstay cert init social --ca ~/social-ca",
		Args:    words("PLATFORM"),
		RunE: p.verb(func(_ context.Context, args []string) error {
			if err := identity.InitCA(dir, args[0]); err != nil {
				return asked(err)
			}
			return p.wrote([]string{filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")})
		}),
	}
	caFolder(c, &dir)
	return c
}

func (p *program) certIssueVerb() *cobra.Command {
	var req identity.Request
	var dir, out string
	var c *cobra.Command
	c = &cobra.Command{
		Use:   "issue --role ROLE --name NAME",
		Short: "Issue a certificate",
		Long: `Issue a certificate and its key, as ROLE-NAME.crt and ROLE-NAME.key, replacing older ones. Roles: controller, agent (its
name is the host's), operator (may change the platform), viewer (may only read), postgres (a member's PostgreSQL).
Certificates of controllers, agents and postgres also name the addresses at which clients reach them.`,
		Example: `  mainstay cert issue --role controller --name c1 --address 10.0.1.5
  mainstay cert issue --role agent --name db-e1 --address 10.0.1.11
  mainstay cert issue --role operator --name anna --days 90 --out ~/.config/mainstay`,
		Args: words(),
		RunE: p.verb(func(context.Context, []string) error {
			switch {
			case req.Role == "":
				return usagef("--role is missing: controller, agent, operator, viewer or postgres")
			case req.Name == "":
				return usagef("--name is missing: name the certificate's holder")
			case c.Flags().Changed("days") && req.Days <= 0:
				return usagef("--days %d: want a number above zero", req.Days)
			}
			if out == "" {
				out = dir
			}
			files, err := identity.Issue(dir, out, req)
			if err != nil {
				return asked(err)
			}
			return p.wrote(files)
		}),
	}
	caFolder(c, &dir)
	c.Flags().StringVar(&req.Role, "role", "", "controller, agent, operator, viewer or postgres (required)")
	c.Flags().StringVar(&req.Name, "name", "", "name of the holder (required)")
	c.Flags().StringSliceVar(&req.Addresses, "address", nil, "IP address or DNS name of the holder, without a port; may be repeated")
	c.Flags().IntVar(&req.Days, "days", 0, "days until it expires (default 365 for people, years for the others)")
	c.Flags().StringVar(&out, "out", "", "folder to write into (default the CA's)")
	register(c, "role", cobra.FixedCompletions([]string{identity.RoleController, identity.RoleAgent, identity.RoleOperator,
		identity.RoleViewer, identity.RolePostgres}, noFiles))
	return c
}

// asked turns a mistake in the request into a usage error.
func asked(err error) error {
	if wrong := (*identity.RequestError)(nil); errors.As(err, &wrong) {
		return usageError{err}
	}
	return err
}

// caFolder hides the global --ca, which names a file: here it is the folder of the CA.
func caFolder(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "ca", "ca", "folder of the CA")
}

func (p *program) wrote(files []string) error {
	return p.show(map[string][]string{"wrote": files}, func(render.Options) string {
		s := ""
		for _, f := range files {
			s += "wrote " + f + "\n"
		}
		return s
	})
}

func (p *program) certShowVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE...",
		Short: "Show the holder of a certificate, and when it expires",
		Long: `Show the certificates in files: holder, addresses, serial number (in the form that the list of revoked certificates takes),
and when they expire. The certificate of a controller or agent still works after that date; a person's does not.`,
		Example: "  mainstay cert show ca/agent-db-e1.crt",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("FILE is missing: name a certificate")
			}
			return nil
		},
		RunE: p.verb(func(_ context.Context, args []string) error { return p.certShow(args, time.Now()) }),
	}
}

func (p *program) certShow(files []string, now time.Time) error {
	var all []certificate
	for _, f := range files {
		cs, err := p.certificates(f, now)
		if err != nil {
			return err
		}
		all = append(all, cs...)
	}
	return p.show(all, func(o render.Options) string {
		lines := make([][]string, len(all))
		for i, c := range all {
			lines[i] = []string{c.File, c.Holder, c.Addresses, c.Ends + " (" + c.Left + ")", c.Serial}
		}
		return render.Table([]string{"FILE", "HOLDER", "ADDRESSES", "ENDS", "SERIAL"}, lines, o)
	})
}

// left says how long a certificate is still valid.
func left(end, now time.Time) string {
	days := int(end.Sub(now).Hours() / 24)
	switch {
	case end.Before(now):
		return "past its date"
	case days == 1:
		return "1 day left"
	}
	return fmt.Sprintf("%d days left", days)
}
