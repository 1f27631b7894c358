package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoadRefuses(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, w world, f *Files)
		role  string
		now   time.Duration // from today
		file  string        // base name of the file the error is about
		want  string
		mend  string
	}{
		{name: "no CA", spoil: func(t *testing.T, w world, f *Files) { os.Remove(f.CA) }, file: "ca.crt", want: "no such file",
			mend: "copy the platform's ca.crt"},
		{name: "no certificate", spoil: func(t *testing.T, w world, f *Files) { os.Remove(f.Cert) }, file: "agent-a.crt", want: "no such file",
			mend: "correct the path"},
		{name: "no key", spoil: func(t *testing.T, w world, f *Files) { os.Remove(f.Key) }, file: "agent-a.key", want: "cannot be read",
			mend: "check the path"},
		{name: "open key", spoil: func(t *testing.T, w world, f *Files) { os.Chmod(f.Key, 0o644) }, file: "agent-a.key",
			want: "other users may access the key (mode 0644)", mend: "chmod 600"},
		{name: "other key", spoil: func(t *testing.T, w world, f *Files) { f.Key = w.issue(RoleAgent, "b", 0).Key }, file: "agent-b.key",
			want: "it is not the key of", mend: "cert issue --role agent --name a"},
		{name: "CA not PEM", spoil: func(t *testing.T, w world, f *Files) { rewrite(t, f.CA, []byte("hello"), 0o644) }, file: "ca.crt",
			want: "no PEM certificate", mend: "copy the platform's ca.crt"},
		{name: "certificate not PEM", spoil: func(t *testing.T, w world, f *Files) { rewrite(t, f.Cert, nil, 0o644) }, file: "agent-a.crt",
			want: "no PEM certificate", mend: "cert issue"},
		{name: "key not PEM", spoil: func(t *testing.T, w world, f *Files) { rewrite(t, f.Key, []byte("x"), 0o600) }, file: "agent-a.key",
			want: "it is not the key of", mend: "cert issue"},
		{name: "damaged certificate", spoil: func(t *testing.T, w world, f *Files) {
			rewrite(t, f.Cert, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o644)
		}, file: "agent-a.crt", want: "damaged", mend: "cert issue"},
		{name: "the CA's own", spoil: func(t *testing.T, w world, f *Files) { f.Cert, f.Key = w.path("ca.crt"), w.path("ca.key") },
			file: "ca.crt", want: "not a certificate of Mainstay", mend: "cert issue"},
		{name: "foreign CA", spoil: func(t *testing.T, w world, f *Files) { f.CA = newWorld(t, "social").path("ca.crt") }, file: "agent-a.crt",
			want: "not signed by a CA in", mend: "if that is not the CA of platform social, name its ca.crt; if it is, issue the " +
				"certificate again with `mainstay cert issue --role agent --name a"},
		{name: "bad revocation list", spoil: func(t *testing.T, w world,
			f *Files) {
			rewrite(t, w.path("revoked"), []byte("# list\nzz\n"), 0o644)
		}, file: "revoked", want: "line 2", mend: "one hexadecimal serial on each line"},
		{name: "expired operator", role: RoleOperator, now: 400 * day, file: "operator-a.crt", want: "it ended on",
			mend: "cert issue --role operator --name a"},
		{name: "operator from the future", role: RoleOperator, now: -2 * day, file: "operator-a.crt", want: "begins only at",
			mend: "cert issue --role operator --name a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.role == "" {
				c.role = RoleAgent
			}
			w := newWorld(t, "social")
			f := w.issue(c.role, "a", 0)
			if c.spoil != nil {
				c.spoil(t, w, &f)
			}
			_, err := load(f, func() time.Time { return time.Now().Add(c.now) })
			var fe *FileError
			if !errors.As(err, &fe) {
				t.Fatalf("want a FileError, have %v", err)
			}
			if filepath.Base(fe.Path) != c.file || !strings.Contains(err.Error(), c.want) || !strings.Contains(fe.Mend, c.mend) {
				t.Errorf("%v\nwant %s, %q, %q", err, c.file, c.want, c.mend)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	w := newWorld(t, "social")
	s := w.storeAt(w.issue(RoleAgent, "a", 100), time.Now())
	for days, want := range map[int]bool{0: false, 39: false, 41: true, 200: true} {
		if got := s.ExpiresSoon(time.Now().AddDate(0, 0, days)); got != want {
			t.Errorf("in %d days: ExpiresSoon %v", days, got)
		}
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t, "social")
	f := w.issue(RoleController, "c1", 0)
	s, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	first := s.Expiry()
	server, client := s.ServerConfig(), w.store(RoleAgent, "a").ClientConfig(RoleController, "c1")

	os.Remove(f.Key)
	if _, err := s.Reload(); err == nil {
		t.Fatal("reloaded without a key")
	}
	if se, ce := shake(t, server, client); se != nil || ce != nil {
		t.Fatalf("after a failed reload: %v, %v", se, ce)
	}
	w.issue(RoleController, "c1", 30)
	if _, err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if !s.Expiry().Before(first) {
		t.Error("the new certificate is not in use")
	}
	if se, ce := shake(t, server, client); se != nil || ce != nil {
		t.Fatalf("after a reload: %v, %v", se, ce)
	}
	rewrite(t, f.Cert, read(t, w.issue(RoleController, "c2", 0).Cert), 0o644)
	rewrite(t, f.Key, read(t, w.path("controller-c2.key")), 0o600)
	if _, err := s.Reload(); err == nil || s.ID().Name != "c1" {
		t.Errorf("became %v: %v", s.ID(), err)
	}
}
