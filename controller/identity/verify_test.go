package identity

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPeers(t *testing.T) {
	w, foreign := newWorld(t, "social"), newWorld(t, "social")
	other := newWorld(t, "shop")
	now, past := time.Now(), time.Now().AddDate(40, 0, 0) // past every date, the CA's too
	c1, agent := w.store(RoleController, "c1"), w.store(RoleAgent, "a")
	// Both platforms' CAs in one file, as after a merger of files gone wrong.
	both := append(read(t, w.path("ca.crt")), read(t, other.path("ca.crt"))...)
	mixed := w.issue(RoleController, "mixed", 0)
	mixed.CA = w.path("both.crt")
	rewrite(t, mixed.CA, both, 0o644)
	operator := w.issue(RoleOperator, "jane", 0)

	for _, c := range []struct {
		name           string
		server, client *Store
		role, peer     string // the peer that the client wants
		serverSays     string
		clientSays     string
	}{
		{name: "agent to controller", server: c1, client: agent, role: RoleController, peer: "c1"},
		{name: "any name", server: c1, client: agent, role: RoleController},
		{name: "agent to agent", server: agent, client: w.store(RoleAgent, "b"), role: RoleAgent},
		{name: "viewer", server: c1, client: w.store(RoleViewer, "grafana"), role: RoleController},
		{name: "wrong name", server: c1, client: agent, role: RoleController, peer: "c2",
			clientSays: "peer presented mainstay://social/controller/c1, wanted controller c2 of platform social; if that is the right address, " +
				"issue the peer's certificate with the CA of social: `mainstay cert issue --role controller --name c2 --address ADDRESS`"},
		{name: "wrong role", server: agent, client: c1, role: RoleController,
			clientSays: "peer presented mainstay://social/agent/a, wanted controller of platform social"},
		{name: "postgres may not connect", server: c1, client: w.store(RolePostgres, "feed-e1"), role: RoleController,
			serverSays: "peer presented mainstay://social/postgres/feed-e1, wanted controller or agent or operator or viewer"},
		{name: "foreign CA, client", server: c1, client: foreign.store(RoleAgent, "a"), role: RoleController,
			clientSays: foreign.path("ca.crt") + " is not the CA that this platform's peers have, name theirs; if it is, issue the peer's"},
		{name: "other platform, trusted CA", server: w.storeAt(mixed, now),
			client: other.storeAt(withCA(other.issue(RoleAgent, "a", 0), mixed.CA), now), role: RoleController,
			clientSays: "presented mainstay://social/controller/mixed, wanted controller of platform shop; that is platform social, but"},
		{name: "a date stops no database", server: w.storeAt(w.issue(RoleController, "c3", 0), past),
			client: w.storeAt(w.issue(RoleAgent, "x", 0), past), role: RoleController, peer: "c3"},
		{name: "nor does a clock gone back", server: w.storeAt(w.issue(RoleController, "c4", 0), time.Unix(0, 0)),
			client: w.storeAt(w.issue(RoleAgent, "y", 0), time.Unix(0, 0)), role: RoleController},
		{name: "an operator ends on the date", server: w.storeAt(w.issue(RoleController, "c5", 0), now.AddDate(2, 0, 0)),
			client: w.storeAt(operator, now), role: RoleController,
			serverSays: "peer presented mainstay://social/operator/jane, but it ended on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			se, ce := shake(t, c.server.ServerConfig(), c.client.ClientConfig(c.role, c.peer))
			expect(t, "server", se, c.serverSays, c.clientSays != "")
			expect(t, "client", ce, c.clientSays, c.serverSays != "")
		})
	}
}

// expect checks one side's error: text if that side must report it, anything if the other side does.
func expect(t *testing.T, side string, err error, says string, other bool) {
	t.Helper()
	var pe *PeerError
	switch {
	case says != "" && (!errors.As(err, &pe) || !strings.Contains(err.Error(), says)):
		t.Errorf("%s: %v\nwant %q", side, err, says)
	case says == "" && (err != nil) != other:
		t.Errorf("%s: %v", side, err)
	}
}

func withCA(f Files, ca string) Files { f.CA = ca; return f }

// The server's own checks of foreign peers, reached where the client trusts anybody.
func TestServerRefusesForeignClients(t *testing.T) {
	w, foreign, shop := newWorld(t, "social"), newWorld(t, "social"), newWorld(t, "shop")
	files := w.issue(RoleController, "c1", 0)
	files.CA = w.path("both.crt")
	rewrite(t, files.CA, append(read(t, w.path("ca.crt")), read(t, shop.path("ca.crt"))...), 0o644)
	server := w.storeAt(files, time.Now())
	for _, c := range []struct {
		client *Store
		says   string
	}{
		{foreign.store(RoleOperator, "eve"), "mainstay://social/operator/eve, but it was not signed by a CA in"},
		{foreign.store(RoleAgent, "eve"), "mainstay://social/agent/eve, but it was not signed by a CA in"},
		{shop.store(RoleOperator, "joe"), "mainstay://shop/operator/joe, wanted controller or agent or operator or viewer of platform social"},
	} {
		trusting := c.client.ClientConfig(RoleController, "")
		trusting.VerifyConnection = nil
		se, _ := shake(t, server.ServerConfig(), trusting)
		expect(t, "server", se, c.says, false)
	}
}

func TestRevoked(t *testing.T) {
	w := newWorld(t, "social")
	server := w.store(RoleController, "c1")
	client := w.store(RoleOperator, "jane")
	serverConfig, clientConfig := server.ServerConfig(), client.ClientConfig(RoleController, "c1")
	if se, ce := shake(t, serverConfig, clientConfig); se != nil || ce != nil {
		t.Fatal(se, ce)
	}
	certs, _, err := readCerts(client.files.Cert, "")
	if err != nil {
		t.Fatal(err)
	}
	line := strings.ToUpper(certs[0].SerialNumber.Text(16)) + " # jane left\n"
	if err := os.WriteFile(w.path("revoked"), []byte("\n"+line), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	se, ce := shake(t, serverConfig, clientConfig)
	expect(t, "server", se, "is revoked", false)
	if ce == nil {
		t.Error("the client noticed nothing")
	}
}

// A CA is replaced: for a while every ca.crt holds both.
func TestRotateCA(t *testing.T) {
	old, next := newWorld(t, "social"), newWorld(t, "social")
	both := append(read(t, old.path("ca.crt")), read(t, next.path("ca.crt"))...)
	oldFiles, newFiles := old.issue(RoleController, "c1", 0), next.issue(RoleAgent, "a", 0)
	rewrite(t, oldFiles.CA, both, 0o644)
	rewrite(t, newFiles.CA, both, 0o644)
	server, client := old.storeAt(oldFiles, time.Now()), next.storeAt(newFiles, time.Now())
	if se, ce := shake(t, server.ServerConfig(), client.ClientConfig(RoleController, "c1")); se != nil || ce != nil {
		t.Fatal(se, ce)
	}
}
