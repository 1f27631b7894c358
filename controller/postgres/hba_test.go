package postgres

import (
	"database/sql"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rules reads lines as the view shows them: type, databases, users, address and method, with a prefix as address and netmask.
func rules(t *testing.T, lines ...string) (all []hbaRule) {
	t.Helper()
	for n, line := range lines {
		f := strings.Fields(line)
		r := hbaRule{File: "hba", Line: n + 1, Type: f[0], Databases: strings.Split(f[1], ","), Users: strings.Split(f[2], ","),
			Method: f[len(f)-1]}
		if len(f) == 5 {
			r.Address = f[3]
		}
		if p, err := netip.ParsePrefix(r.Address); err == nil {
			mask, _ := netip.AddrFromSlice(ones(p))
			r.Address, r.Netmask = p.Addr().String(), mask.String()
		}
		if address, mask, found := strings.Cut(r.Address, "&"); found {
			r.Address, r.Netmask = address, mask
		}
		all = append(all, r)
	}
	return all
}

func ones(p netip.Prefix) []byte {
	mask := make([]byte, p.Addr().BitLen()/8)
	for k := range p.Bits() {
		mask[k/8] |= 0x80 >> (k % 8)
	}
	return mask
}

// TestFirstRule: the first rule for a connection decides, as in hba.c.
func TestFirstRule(t *testing.T) {
	a := access{Groups: []string{"staff", "postgres"}, Regexes: map[string][]string{"/^re": {"repl"}, "/p.*s$": {"postgres"}},
		own: []netip.Prefix{netip.MustParsePrefix("10.0.1.11/24"), netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("fd00::11/64")}}
	const peer, six = "10.0.1.12", "fd00::12"
	for _, c := range []struct {
		rule           string
		database, from string
		tls, want      bool
	}{
		{"host all all 10.0.1.0/24 md5", "postgres", peer, false, true},
		{"host all all 10.0.1.0/24 md5", "", peer, false, false}, // all is no replication
		{"host all all 10.0.2.0/24 md5", "postgres", peer, false, false},
		{"host all all 10.0.1.0&255.0.255.0 md5", "postgres", "10.9.1.1", false, true},
		{"host all all 10.0.1.0&255.0.255.0 md5", "postgres", "10.9.2.1", false, false},
		{"host all all 0.0.0.0/0 md5", "postgres", six, false, false},
		{"host all all fd00::/16 md5", "postgres", six, false, true},
		{"host all all fe80::%eth0&ffc0:: md5", "postgres", "fe80::2", false, true},
		{"host all all all md5", "postgres", six, false, true},
		{"host replication repl all md5", "", peer, false, true},
		{"host replication repl all md5", "postgres", peer, false, false},
		{"host app,replication app,repl all md5", "", peer, false, true},
		{"host replication other all md5", "", peer, false, false},
		{"host replication +staff all md5", "", peer, false, true},
		{"host replication +repl all md5", "", peer, false, true}, // every role is a member of itself
		{"host replication +admins all md5", "", peer, false, false},
		{"host replication staff all md5", "", peer, false, false},
		{"host replication /^re all md5", "", peer, false, true},
		{"host replication /^xx all md5", "", peer, false, false},
		{"host /p.*s$ repl all md5", "postgres", peer, false, true},
		{"host /p.*s$ repl all md5", "", peer, false, false}, // a regular expression is never for replication
		{"host sameuser repl all md5", "postgres", peer, false, false},
		{"host sameuser repl all md5", "repl", peer, false, true},
		{"host samerole repl all md5", "postgres", peer, false, true},
		{"host samegroup repl all md5", "app", peer, false, false},
		{"hostssl postgres repl all md5", "postgres", peer, true, true},
		{"hostssl postgres repl all md5", "postgres", peer, false, false},
		{"hostnossl postgres repl all md5", "postgres", peer, true, false},
		{"hostnossl postgres repl all md5", "postgres", peer, false, true},
		{"hostgssenc postgres repl all md5", "postgres", peer, true, false},
		{"hostnogssenc postgres repl all md5", "postgres", peer, true, true},
		{"local postgres repl peer", "postgres", peer, false, false},
		{"host postgres repl samehost md5", "postgres", peer, false, false},
		{"host postgres repl samehost md5", "postgres", "10.0.1.11", false, true},
		{"host postgres repl samenet md5", "postgres", peer, false, true},
		{"host postgres repl samenet md5", "postgres", "10.0.2.12", false, false},
		{"host postgres repl db-e2.example.com md5", "postgres", "DB-e2.example.com", false, true},
		{"host postgres repl .example.com md5", "postgres", "db-e2.example.com", false, true},
		{"host postgres repl .example.com md5", "postgres", "example.com", false, false},
		{"host postgres repl .example.com md5", "postgres", peer, false, false},
	} {
		a.Rules = rules(t, "host other all all reject", c.rule, "host all,replication all all reject")
		where := client{host: c.from}
		if addr, err := netip.ParseAddr(c.from); err == nil {
			where = client{addr: addr}
		}
		want := 2
		if c.want {
			want = 1
		}
		if got := a.first(caller{"repl", c.database, c.tls, where}); got != want {
			t.Errorf("%s, for %q from %s, TLS %t: rule %d decides", c.rule, c.database, c.from, c.tls, got)
		}
	}
}

// TestFromAnywhere: an account gets in where some address of another host is let in by the first rule for it.
func TestFromAnywhere(t *testing.T) {
	for _, c := range []struct {
		listen string
		ways   []bool
		in     bool
		says   string // the rule that shuts it out, or how another falls short
		lines  []string
	}{
		{"10.0.1.11", []bool{true, false}, true, "", []string{"host replication repl 10.0.2.21/32 md5"}},
		{"10.0.1.11", []bool{false}, false, "", []string{"host all repl 10.0.2.21/32 md5"}},
		{"10.0.1.11", []bool{false}, false, "line 1 (host replication all 127.0.0.1/32 md5) lets it in, but only from this host",
			[]string{"host replication all 127.0.0.1/32 md5", "host replication all ::1/128 md5"}},
		{"10.0.1.11", []bool{false}, false, "only from this host", []string{"host replication all samehost md5"}},
		{"10.0.1.11", []bool{false}, false, "only from this host", []string{"host replication all localhost md5"}},
		{"10.0.1.11", []bool{false}, false, "addresses of another kind", []string{"host replication all fd00::/8 md5"}},
		{"fd00::11", []bool{false}, true, "", []string{"host replication all fd00::/8 md5"}},
		{"10.0.1.11", []bool{false}, true, "", []string{"host replication all samenet md5"}},
		{"127.0.0.1", []bool{false}, true, "", []string{"host replication all samehost md5"}},
		{"127.77.1.11", []bool{false}, true, "", []string{"host replication all 127.0.0.0/8 md5"}},
		{"localhost", []bool{false}, true, "", []string{"host replication all ::1/128 md5"}},
		{"db-e1", []bool{false}, true, "", []string{"host replication all fd00::/8 md5"}},
		{"10.0.1.11", []bool{false}, false, "line 1 (local replication all trust) lets it in, but only through the local socket",
			[]string{"local replication all trust"}},
		{"10.0.1.11", []bool{false}, false, "with TLS, which is off", []string{"hostssl replication all all md5"}},
		{"10.0.1.11", []bool{true}, false, "without TLS", []string{"hostnossl replication all all md5"}},
		{"10.0.1.11", []bool{true, false}, true, "", []string{"hostssl replication all all reject", "host replication all all md5"}},
		{"10.0.1.11", []bool{false}, false, "with GSSAPI", []string{"hostgssenc replication all all md5"}},
		{"10.0.1.11", []bool{false}, false, "line 1 (host replication all 0.0.0.0/0 reject)",
			[]string{"host replication all 0.0.0.0/0 reject", "host replication all 10.0.0.0/8 md5"}},
		{"10.0.1.11", []bool{false}, false, "line 1 (host replication all 10.0.0.0/9 reject)", // two halves cover the whole
			[]string{"host replication all 10.0.0.0/9 reject", "host replication all 10.128.0.0/9 reject", "host replication repl 10.0.0.0/8 md5"}},
		{"10.0.1.11", []bool{false}, true, "", // all but the last address
			[]string{"host replication all 10.0.0.0/25 reject", "host replication all 10.0.0.128/26 reject",
				"host replication all 10.0.0.192/27 reject",
				"host replication all 10.0.0.224/28 reject", "host replication all 10.0.0.240/29 reject", "host replication all 10.0.0.248/30 reject",
				"host replication all 10.0.0.252/31 reject", "host replication all 10.0.0.254/32 reject", "host replication repl 10.0.0.0/24 md5"}},
		{"10.0.1.11", []bool{false}, true, "", []string{"host replication all 10.0.0.0/8 reject", "host replication repl db-e2.example.com md5"}},
		{"10.0.1.11", []bool{false}, false, "line 1", []string{"host replication all 0.0.0.0/0 reject",
			"host replication repl db-e2.example.com md5"}},
		{"10.0.1.11", []bool{false}, false, "line 1", []string{"host replication all .example.com reject",
			"host replication repl db-e2.example.com md5"}},
		{"10.0.1.11", []bool{false}, true, "", []string{"host replication all db-e1.example.com reject",
			"host replication repl .example.com md5"}},
		{"10.0.1.11", []bool{false}, true, "", []string{"host replication other all reject", "host replication repl all md5"}},
	} {
		a := access{Rules: rules(t, c.lines...)}
		for _, p := range []string{"10.0.1.11/24", "127.0.0.1/8", "10.0.9.9/32"} {
			a.own = append(a.own, netip.MustParsePrefix(p))
		}
		ok, by := a.admits("repl", "", c.listen, c.ways)
		says := ""
		switch {
		case by != nil:
			says = by.String()
		case !ok:
			says = a.short("repl", "", c.ways)
		}
		if ok != c.in || !strings.Contains(says, c.says) || c.says == "" && says != "" {
			t.Errorf("%q at %s: in %t, says %q; want %t, %q", c.lines, c.listen, ok, says, c.in, c.says)
		}
	}
}

// TestQuotedWords: quotes make a name of a keyword, and the view does not show them.
func TestQuotedWords(t *testing.T) {
	for _, c := range []struct {
		text string
		want [][]string
	}{
		{`host all all all md5`, [][]string{nil, nil, nil, nil, nil}},
		{`host "replication",x , "a b" md5 # "all"`, [][]string{nil, {"replication"}, {"a b"}, nil}},
		{"host\t\"all\",\"+x\"\t\\\n  all, \"c\"\"d\" all md5\n\"next\"", [][]string{nil, {"all", "+x"}, {`c"d`}, nil, nil}},
		{`host a"b" "c"d md5`, [][]string{nil, nil, {"cd"}, nil}},
	} {
		got := hbaFields(strings.Split(c.text, "\n"), 1)
		if !slices.EqualFunc(got, c.want, slices.Equal[[]string]) {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
	}
	a := access{Rules: rules(t, "host replication all,+staff all md5"), Groups: []string{"staff"}}
	for text, in := range map[string]bool{
		`host replication all,+staff all md5`: true, `host "replication" all,+staff all md5`: false,
		`host replication "all",+staff all md5`:   true,
		`host replication "all","+staff" all md5`: false,
	} {
		check(t, a.complete("hba", func(string) ([]byte, error) { return []byte(text), nil }))
		if ok, _ := a.admits("repl", "", "10.0.1.11", []bool{false}); ok != in {
			t.Errorf("%s: in %t", text, ok)
		}
		a.Rules[0].quotedDatabases, a.Rules[0].quotedUsers = nil, nil
	}
}

// TestRulesOfAServer: what a server says of its rules, includes, groups and regular expressions among them, decides as it does there.
func TestRulesOfAServer(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	ctx, modern := testContext(t), i.Binaries.Major >= 16
	i.Listen, i.TLS = "10.0.1.11", TLSFiles{}
	i.Replication.User = "Repl 1"
	check(t,
		i.exec(ctx,
			`CREATE ROLE "Repl 1" LOGIN REPLICATION; CREATE ROLE inner_ NOLOGIN; CREATE ROLE outer_ NOLOGIN; CREATE ROLE postgres_ NOLOGIN;
		GRANT outer_ TO inner_; GRANT inner_ TO "Repl 1"`))
	_, grant, _ := strings.Cut(i.grants("Repl 1"), ": ")
	check(t, i.exec(ctx, grant))
	hba := filepath.Join(i.Data, "pg_hba.conf")
	write := func(path, text string) { check(t, i.Owner.writeFile(path, []byte(text), 0o600)) }
	look := func(text string) string {
		t.Helper()
		write(hba, "local all all trust\n"+text+"\n")
		refusals, _, err := i.AdoptChecks(ctx)
		check(t, err)
		var all []string
		for _, r := range refusals {
			if !strings.Contains(r.Reason, "listen_addresses") {
				all = append(all, r.String())
			}
		}
		return strings.Join(all, "\n")
	}
	check(t, i.Owner.makeDir(filepath.Join(i.Data, "rules"), 0o700))
	shut, rest := filepath.Join(i.Data, "shut.conf"), "\nhost all,replication all all reject"
	for _, c := range []struct {
		text   string
		modern bool // needs PostgreSQL 16
		says   []string
	}{
		{`host replication,postgres "Repl 1" all scram-sha-256` + rest, false, nil},
		{"host replication,all +outer_ 10.0.0.0/8 scram-sha-256" + rest, false, nil},
		{"host @names all samenet,x scram-sha-256", false, []string{"has an error: line 2: "}},
		{"host @names all all scram-sha-256" + rest, false, nil},
		{`host "replication",postgres all all scram-sha-256`, false, []string{
			"pg_hba.conf lets Repl 1 replicate from nowhere: no line is for it; add to " + hba +
				`, and reload: hostssl replication "Repl 1" all scram-sha-256`}},
		{"host replication,postgres +postgres_ all scram-sha-256" + rest, false, []string{
			"replicate from nowhere: " + hba + " line 3 (host all,replication all all reject) shuts it out; add to " + hba +
				" before line 3, and reload",
			`hostssl postgres "Repl 1" all`}},
		{"hostssl replication,postgres all all scram-sha-256" + rest, false, nil},
		{"host all,replication all 127.0.0.1/32 scram-sha-256", false, []string{
			hba + " line 2 (host all,replication all 127.0.0.1/32 scram-sha-256) lets it in, but only from this host"}},
		{`host replication,/^post "/^Repl [0-9]$" all scram-sha-256` + rest, true, nil},
		{`host replication,postgres /repl all scram-sha-256` + rest, true, []string{"line 3"}},
		{"include_if_exists none.conf\ninclude_dir rules" + rest, true, nil},
		{"include none.conf", true, []string{hba + " has an error: line 2: could not open file"}},
		{"include shut.conf\ninclude_dir rules", true, []string{
			shut + " line 2 (host all,replication +inner_ all reject) shuts it out; add to " + shut + " before line 2"}},
	} {
		if c.modern && !modern {
			continue
		}
		write(filepath.Join(i.Data, "names"), "replication postgres\n")
		write(shut, "# all\nhost all,replication +inner_ all reject\n")
		write(filepath.Join(i.Data, "rules", "ours.conf"), "host replication,all /^Repl all scram-sha-256\n")
		said := look(c.text)
		if len(c.says) == 0 && said != "" {
			t.Errorf("%s: %s", c.text, said)
		}
		for _, want := range c.says {
			if !strings.Contains(said, want) {
				t.Errorf("%s: %s\nwant %s", c.text, said, want)
			}
		}
	}
	if !modern { // a name like any other
		if said := look("host replication,postgres /^Repl all scram-sha-256"); !strings.Contains(said, "no line is for it") {
			t.Errorf("a regular expression counts before PostgreSQL 16: %s", said)
		}
	}
}

// TestRulesDecideAsTheServerDoes: for rules that are in force, the answer is that of a real connection.
func TestRulesDecideAsTheServerDoes(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	ctx, hba := testContext(t), filepath.Join(i.Data, "pg_hba.conf")
	i.TLS.CA, i.Replication.User = "", "repl"
	check(t, i.exec(ctx, `CREATE ROLE repl LOGIN REPLICATION; CREATE ROLE staff; GRANT staff TO repl`))
	texts := []string{
		"host replication,postgres +staff 127.0.0.1/32 trust", "host replication repl 127.0.0.1/32 trust", "host postgres repl samehost trust",
		"hostnossl all,replication all 127.0.0.0/8 reject\nhostssl all,replication all 127.0.0.0/8 trust",
		"host all,replication +repl localhost trust",
		"host samerole,sameuser repl all trust", `host "postgres",replication "+staff" all trust`,
		"host all,replication all 127.0.0.1/32 reject\nhost all,replication all all trust",
	}
	if i.Binaries.Major >= 16 {
		texts = append(texts, "host /^POST|^repl,replication /^re.l$ all trust", "host /gre,replication /^e all trust")
	}
	for _, text := range texts {
		check(t, i.Owner.writeFile(hba, []byte("local all all trust\n"+text+"\n"), 0o600))
		before := loaded(t, i)
		check(t, i.exec(ctx, "SELECT pg_reload_conf()"))
		eventually(t, "a connection made after the reload", func() bool { return loaded(t, i) != before })
		_, f, err := i.AdoptChecks(ctx)
		check(t, err)
		here := client{addr: netip.MustParseAddr("127.0.0.1"), host: "localhost"}
		for _, database := range []string{"", "postgres"} {
			for _, tls := range []bool{true, false} {
				n := f.Access.first(caller{"repl", database, tls, here})
				want := n >= 0 && f.Access.Rules[n].Method != "reject"
				mode := map[bool]string{true: "require", false: "disable"}[tls]
				conninfo := fmt.Sprintf("host=127.0.0.1 port=%d user=repl dbname=postgres sslmode=%s connect_timeout=10", i.Port, mode)
				query := "SELECT 1"
				if database == "" {
					conninfo, query = strings.Replace(conninfo, "dbname=postgres", "dbname=replication replication=true", 1), "IDENTIFY_SYSTEM"
				}
				_, err := i.run(ctx, "psql", "-X", "-w", "-d", conninfo, "-c", query)
				if (err == nil) != want {
					t.Errorf("%s: for %q, TLS %t, ours says %t, the server: %v", text, database, tls, want, err)
				}
			}
		}
	}
}

// loaded is when the postmaster read its files before it took a new connection.
func loaded(t *testing.T, i *Server) (at string) {
	t.Helper()
	ctx := testContext(t)
	check(t, i.with(ctx, func(c *sql.Conn) error { return c.QueryRowContext(ctx, "SELECT pg_conf_load_time()::text").Scan(&at) }))
	return at
}
