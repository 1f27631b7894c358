package postgres

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// debianHost is a host with two clusters of postgresql-common, as one without systemd.
func debianHost(t *testing.T) (h hostFiles, data string) {
	t.Helper()
	h = hostFiles{root: t.TempDir(), clusters: "/etc/postgresql"}
	data = filepath.Join(h.root, "var/main")
	put(t, filepath.Join(data, "PG_VERSION"), "15\n")
	put(t, filepath.Join(h.root, "etc/postgresql/15/main/postgresql.conf"), "#data_directory = 'none'\ndata_directory = '"+data+
		"/'\t\t# use data in another directory\n")
	put(t, filepath.Join(h.root, "etc/postgresql/15/main/start.conf"), "# Automatic startup\n\nauto # always\n")
	put(t, filepath.Join(h.root, "etc/postgresql/15/other/postgresql.conf"), "data_directory = '/var/other'\n")
	return h, data
}

func TestServicesOfDebian(t *testing.T) {
	h, data := debianHost(t)
	start := filepath.Join(h.root, "etc/postgresql/15/main/start.conf")
	look := func() Service {
		t.Helper()
		all, err := h.services(data)
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v; want one", all, err)
		}
		return all[0]
	}
	s := look()
	if want := (Service{Unit: "postgresql@15-main.service", StartConf: start, Mode: "auto"}); s != want || s.Closed() {
		t.Fatalf("got %+v, want %+v", s, want)
	}
	former := content(t, start)
	if steps := s.MaskSteps(); len(steps) != 1 || len(s.UnmaskSteps()) != 0 {
		t.Errorf("steps without systemd: %q", steps)
	}
	check(t, s.Mask(testContext(t)))
	if s = look(); s.Mode != "disabled" || !s.Closed() || content(t, start+".mainstay") != former || len(s.MaskSteps()) != 0 {
		t.Fatalf("masked: %+v\n%s", s, content(t, start))
	}
	check(t, s.Mask(testContext(t))) // again: what is kept stays the user's
	if steps := s.UnmaskSteps(); len(steps) != 1 {
		t.Errorf("steps: %q", steps)
	}
	check(t, s.Unmask(testContext(t)))
	if s = look(); s.Mode != "auto" || content(t, start) != former || exists(start+".mainstay") {
		t.Fatalf("unmasked: %+v\n%s", s, content(t, start))
	}
	check(t, os.Remove(start))
	check(t, look().Mask(testContext(t)))
	if s = look(); !s.Closed() {
		t.Fatalf("without a start.conf: %+v", s)
	}
	check(t, s.Unmask(testContext(t)))
	if s = look(); s.Mode != "auto" || exists(start) {
		t.Fatalf("without a start.conf, unmasked: %+v", s)
	}
	put(t, start, "disabled\n") // by the user: not ours to undo
	if s = look(); !s.Closed() || len(s.UnmaskSteps()) != 0 {
		t.Errorf("disabled by hand: %+v", s)
	}
	if all, err := h.services("/var/lib/postgresql/none"); err != nil || len(all) != 0 {
		t.Errorf("of other data: %+v, %v", all, err)
	}
}

func TestServicesWithSystemd(t *testing.T) {
	h, data := debianHost(t)
	put(t, filepath.Join(h.root, "run/systemd/system/x.conf"), "")
	put(t, filepath.Join(h.root, "usr/lib/systemd/system/postgresql-15.service"),
		"[Service]\nEnvironment=PGDATA=/var/lib/pgsql/15/data/\nEnvironment=PGPORT=5432\n")
	names := func(dir string) (out []string) {
		t.Helper()
		all, err := h.services(dir)
		check(t, err)
		for _, s := range all {
			out = append(out, s.Unit)
		}
		return out
	}
	if got := names("/var/lib/pgsql/15/data"); !reflect.DeepEqual(got, []string{"postgresql-15.service"}) {
		t.Errorf("of its data: %q", got)
	}
	put(t, filepath.Join(h.root, "etc/systemd/system/postgresql-15.service.d/data.conf"), "[Service]\nEnvironment=\"PGDATA="+data+"\"\n")
	if got := names(data); !reflect.DeepEqual(got, []string{"postgresql@15-main.service", "postgresql-15.service"}) {
		t.Errorf("both: %q", got)
	}
	if got := names("/var/lib/pgsql/15/data"); got != nil {
		t.Errorf("moved: %q", got)
	}
	for _, unit := range []string{"postgresql@15-main.service", "postgresql-15.service"} {
		check(t, os.Symlink("/dev/null", filepath.Join(h.root, "etc/systemd/system", unit)))
	}
	all, err := h.services(data)
	check(t, err)
	for _, s := range all {
		if !s.Closed() || !s.Masked {
			t.Errorf("masked by systemctl: %+v", s)
		}
	}
	if got := systemctl("mask", "postgresql@15-main.service"); !reflect.DeepEqual(got,
		[]string{"systemctl", "mask", "--", "postgresql@15-main.service"}) {
		t.Errorf("command: %q", got)
	}
}

// The commands run for real, on a systemctl that notes what it was told.
func TestMaskRunsSystemctl(t *testing.T) {
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	check(t, os.WriteFile(filepath.Join(dir, "systemctl"),
		[]byte("#!/bin/sh\necho \"$@\" >> "+told+"\n[ \"$3\" != bad.service ] || { echo no such unit >&2; exit 1; }\n"), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	s := Service{Unit: "postgresql-15.service", Systemd: true}
	check(t, s.Mask(testContext(t)))
	s.Masked = true
	check(t, s.Mask(testContext(t)))
	check(t, s.Unmask(testContext(t)))
	if got := content(t, told); got != "mask -- postgresql-15.service\nunmask -- postgresql-15.service\n" {
		t.Errorf("told %q", got)
	}
	err := Service{Unit: "bad.service", Systemd: true}.Mask(testContext(t))
	if err == nil || err.Error() != "systemctl mask -- bad.service: exit status 1: no such unit; run it as root" {
		t.Errorf("failure: %v", err)
	}
}
