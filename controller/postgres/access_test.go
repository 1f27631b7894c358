package postgres

import (
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/pgdial"
)

func TestListens(t *testing.T) {
	for _, c := range []struct {
		i    Server
		want string
	}{
		{Server{Listen: "10.0.1.11"}, "10.0.1.11, 127.0.0.1, ::1"},
		{Server{Listen: "fd00::11"}, "fd00::11, 127.0.0.1, ::1"},
		{Server{Listen: "db-e1.example"}, "db-e1.example, 127.0.0.1, ::1"},
		{Server{Listen: "127.77.1.11"}, "127.77.1.11"}, // members on one machine, each on a loopback address of its own
		{Server{Listen: "::1"}, "::1"},
		{Server{Listen: "localhost"}, "localhost"},
		{Server{Listen: "0.0.0.0"}, "0.0.0.0"},
		{Server{Listen: "*"}, "*"},
		{Server{Listen: "10.0.1.11", Kept: Kept{Listen: "10.0.1.11"}}, "10.0.1.11"}, // adopted: the user's
	} {
		if got := c.i.listens(); got != c.want {
			t.Errorf("%+v listens on %q, want %q", c.i, got, c.want)
		}
	}
}

// TestLoopbackAndOwnRules: clients on the host reach a member by loopback, and a rule of the user's, where pg_hba.conf has its
// place, decides before those for everybody.
func TestLoopbackAndOwnRules(t *testing.T) {
	ca := newAuthority(t)
	i, ctx := newServer(t, ca, "feed-e1"), testContext(t)
	if i.Listen = outerAddress(t); i.Listen == "" {
		t.Skip("this machine has no address but loopback")
	}
	check(t, i.Initialise(ctx))
	check(t, i.WriteSettings(ctx, Settings{}))
	start(t, i, true)
	check(t, i.exec(ctx, "CREATE ROLE app LOGIN"))
	comesIn := func(host string) error {
		return pgdial.WithConn(ctx, pgdial.Config{Host: host, Port: i.Port, User: "app"}, func(c *sql.Conn) error {
			_, err := c.ExecContext(ctx, "SELECT 1")
			return err
		})
	}
	hosts := []string{"127.0.0.1", i.Listen}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		check(t, l.Close())
		hosts = append(hosts, "::1")
	}
	for _, host := range hosts {
		if err := comesIn(host); err == nil || !strings.Contains(err.Error(), "password") {
			t.Errorf("without a password, at %s: %v", host, err)
		}
	}
	file := filepath.Join(i.Data, "pg_hba.conf")
	before, err := os.ReadFile(file)
	check(t, err)
	text := strings.Replace(string(before), hbaPlace, hbaPlace+"\nhost all app 127.0.0.1/32 trust\nhost all app ::1/128 trust", 1)
	check(t, os.WriteFile(file, []byte(text), 0o600))
	check(t, i.exec(ctx, "SELECT pg_reload_conf()"))
	for _, host := range hosts {
		if host != i.Listen {
			eventually(t, "the user's rule to count at "+host, func() bool { return comesIn(host) == nil })
		}
	}
	if err := comesIn(i.Listen); err == nil {
		t.Error("a rule of loopback counts elsewhere")
	}
}

// outerAddress is one of this machine's that is no loopback address, "" without one.
func outerAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	check(t, err)
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
