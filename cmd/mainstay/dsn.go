package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

// connectTimeout bounds, in seconds, a client's wait for one dead host before it tries the next (libpq waits for minutes).
const connectTimeout = "3"

// dsnOptions are the flags of dsn.
type dsnOptions struct {
	any            bool
	user, database string
}

func (p *program) dsnVerb() *cobra.Command {
	var o dsnOptions
	var primary bool
	c := &cobra.Command{
		Use:   "dsn CLUSTER",
		Short: "Print connection strings that follow the primary",
		Long: `Print libpq connection strings that name every member, as a URI and as keywords. With --primary (the default) a client
connects to the member that accepts writes, also after a failover; with --any it takes the first member that answers. They
contain no password: use a passfile or a service file.

Where no leader answers, the members come from the last status.`,
		Example: "  mainstay dsn feed --user app --database social\n  psql \"$(mainstay dsn feed --output json | jq -r .uri)\"",
		Args:    words("CLUSTER"),
		RunE:    p.verb(func(ctx context.Context, args []string) error { return p.dsn(ctx, args[0], o) }),
	}
	c.Flags().BoolVar(&primary, "primary", false, "the member that accepts writes (default)")
	c.Flags().BoolVar(&o.any, "any", false, "any member")
	c.Flags().StringVar(&o.user, "user", "", "role to connect as")
	c.Flags().StringVar(&o.database, "database", "", "database to connect to")
	c.MarkFlagsMutuallyExclusive("any", "primary")
	p.completeClusters(c)
	return c
}

func (p *program) dsn(ctx context.Context, cluster string, o dsnOptions) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var st wire.Status
	err = p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &st)
	if last, ok := p.recall(s.name); leaderless(err) && ok {
		p.say("no leader answers; these members are from the status of %s", last.At)
		st, err = last, nil
	}
	if err != nil {
		return err
	}
	hosts, err := hostsOf(st, cluster)
	if err != nil {
		return err
	}
	d := map[string]string{"uri": o.uri(hosts), "keywords": o.keywords(hosts)}
	return p.show(d, func(render.Options) string { return d["uri"] + "\n" + d["keywords"] + "\n" })
}

// endpoint is where a member's PostgreSQL listens.
type endpoint struct{ host, port string }

// hostsOf lists the members of a cluster, the primary first, where most clients connect.
func hostsOf(st wire.Status, cluster string) ([]endpoint, error) {
	i := slices.IndexFunc(st.Clusters, func(c wire.ClusterState) bool { return c.Name == cluster })
	if i < 0 {
		return nil, refusedf("there is no cluster %s; `mainstay status` shows them", cluster)
	}
	c := st.Clusters[i]
	var first, rest []endpoint
	for _, m := range c.Members {
		host, port, err := net.SplitHostPort(m.Address)
		if err != nil {
			host, port = m.Address, "5432"
		}
		if e := (endpoint{host, port}); m.Name == c.Primary {
			first = append(first, e)
		} else {
			rest = append(rest, e)
		}
	}
	return append(first, rest...), nil
}

func (o dsnOptions) attributes() string {
	if o.any {
		return "any"
	}
	return "read-write"
}

func (o dsnOptions) uri(hosts []endpoint) string {
	parts := make([]string, len(hosts))
	for i, h := range hosts {
		parts[i] = net.JoinHostPort(h.host, h.port)
	}
	s := "postgresql://"
	if o.user != "" {
		s += url.PathEscape(o.user) + "@"
	}
	return s + strings.Join(parts, ",") + "/" + url.PathEscape(o.database) +
		"?target_session_attrs=" + o.attributes() + "&connect_timeout=" + connectTimeout
}

func (o dsnOptions) keywords(hosts []endpoint) string {
	var names, ports []string
	for _, h := range hosts {
		names, ports = append(names, h.host), append(ports, h.port)
	}
	words := []string{"host=" + strings.Join(names, ","), "port=" + strings.Join(ports, ",")}
	if o.user != "" {
		words = append(words, "user="+quoteKeyword(o.user))
	}
	if o.database != "" {
		words = append(words, "dbname="+quoteKeyword(o.database))
	}
	return strings.Join(append(words, "target_session_attrs="+o.attributes(), "connect_timeout="+connectTimeout), " ")
}

// quoteKeyword quotes a value as libpq's keyword form wants it (PostgreSQL documentation, 34.1.1.1).
func quoteKeyword(s string) string {
	if s != "" && !strings.ContainsAny(s, " '\\\t\n") {
		return s
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
