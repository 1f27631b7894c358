package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func TestInitCARefusesToOverwrite(t *testing.T) {
	w := newWorld(t, "social")
	fi, err := os.Stat(w.path("ca.key"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("ca.key: mode %v, error %v", fi.Mode(), err)
	}
	before := read(t, w.path("ca.key"))
	err = InitCA(w.dir, "social")
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "a CA already exists there") {
		t.Fatalf("second InitCA: %v", err)
	}
	if err := os.Remove(w.path("ca.crt")); err != nil {
		t.Fatal(err)
	}
	if err := InitCA(w.dir, "social"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("InitCA over a lone key: %v", err)
	}
	if !bytes.Equal(before, read(t, w.path("ca.key"))) {
		t.Fatal("the refused InitCA changed ca.key")
	}
}

func TestIssue(t *testing.T) {
	w := newWorld(t, "social")
	for _, c := range []struct {
		r              Request
		cn, uri        string
		ips, names     int
		atLeast, under float64 // days
	}{
		{Request{Role: RoleController, Name: "c1", Addresses: []string{"10.0.0.1", "c1.example.org"}}, "c1", "mainstay://social/controller/c1", 1,
			1, 3649, 3651},
		{Request{Role: RoleAgent, Name: "db-e1", Addresses: []string{"fd00::1"}, Days: 7}, "db-e1", "mainstay://social/agent/db-e1", 1, 0, 6, 8},
		{Request{Role: RolePostgres, Name: "feed-e1", Addresses: []string{"db-e1"}}, "mainstay_replication", "mainstay://social/postgres/feed-e1",
			0, 1, 7299, 7301},
		{Request{Role: RoleOperator, Name: "jane.doe"}, "jane.doe", "mainstay://social/operator/jane.doe", 0, 0, 364, 366},
	} {
		paths, err := Issue(w.dir, w.dir, c.r)
		if err != nil {
			t.Fatal(err)
		}
		certs, _, err := readCerts(paths[0], "")
		if err != nil {
			t.Fatal(err)
		}
		leaf := certs[0]
		if leaf.Subject.CommonName != c.cn || leaf.URIs[0].String() != c.uri || len(leaf.IPAddresses) != c.ips || len(leaf.DNSNames) != c.names {
			t.Errorf("%+v: CN %q, URI %q, IPs %v, names %v", c.r, leaf.Subject.CommonName, leaf.URIs[0], leaf.IPAddresses, leaf.DNSNames)
		}
		if days := leaf.NotAfter.Sub(leaf.NotBefore).Hours() / 24; days < c.atLeast || days > c.under {
			t.Errorf("%+v: valid for %v days", c.r, days)
		}
		if pub, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || pub.Curve.Params().Name != "P-256" {
			t.Errorf("%+v: key %T", c.r, leaf.PublicKey)
		}
		if fi, err := os.Stat(paths[1]); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", paths[1], fi.Mode(), err)
		}
	}
	if left, _ := os.ReadDir(w.dir); len(left) != 10 {
		t.Errorf("want 10 files and no temporary one, have %v", left)
	}
}

// A certificate of role postgres is verified by PostgreSQL, by its own rules: chain and address.
func TestIssuedPostgresCertificateVerifiesByAddress(t *testing.T) {
	w := newWorld(t, "social")
	f := w.issue(RolePostgres, "feed-e1", 0)
	ca, _, err := readCerts(f.CA, "")
	if err != nil {
		t.Fatal(err)
	}
	certs, _, err := readCerts(f.Cert, "")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca[0])
	for _, name := range []string{"127.0.0.1", "127.0.0.2"} {
		_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		if ok := name == "127.0.0.1"; ok != (err == nil) {
			t.Errorf("verify for %s: %v", name, err)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	w := newWorld(t, "social")
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{Role: "root", Name: "x"}, `"root" is not a role`},
		{Request{Role: RoleAgent, Name: "../x"}, "is not a name for a certificate"},
		{Request{Role: RoleAgent, Name: ""}, "is not a name for a certificate"},
		{Request{Role: RoleAgent, Name: "a", Addresses: []string{"10.0.0.1:7000"}}, "without a port"},
		{Request{Role: RoleViewer, Name: "a", Addresses: []string{"10.0.0.1"}}, "remove --address"},
		{Request{Role: RolePostgres, Name: "a"}, "add --address"},
		{Request{Role: RoleAgent, Name: "a", Days: -1}, "--days -1"},
	} {
		if _, err := Issue(w.dir, w.dir, c.r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.want)
		}
	}
	if left, _ := os.ReadDir(w.dir); len(left) != 2 {
		t.Errorf("a refused Issue left files: %v", left)
	}
	if _, err := Issue(t.TempDir(), w.dir, Request{Role: RoleAgent, Name: "a"}); err == nil ||
		!strings.Contains(err.Error(), "mainstay cert init") {
		t.Errorf("no CA: %v", err)
	}
	other := newWorld(t, "other")
	rewrite(t, w.path("ca.key"), read(t, other.path("ca.key")), 0o600)
	if _, err := Issue(w.dir, w.dir, Request{Role: RoleAgent, Name: "a"}); err == nil ||
		!strings.Contains(err.Error(), "not the key of a CA certificate") {
		t.Errorf("foreign CA key: %v", err)
	}
}
