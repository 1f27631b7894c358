package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSplitKeys(t *testing.T) {
	in := "# Do not edit\nport = '1'\nPrimary_ConnInfo = 'a'\nprimary_conninfo_x = 'b'\nprimary_conninfo='c'\nrestore_command 'cp ''x'' %p'"
	rest, taken := splitKeys(in, []string{"primary_conninfo", "restore_command"})
	if want := "# Do not edit\nport = '1'\nprimary_conninfo_x = 'b'\n"; rest != want {
		t.Errorf("rest %q", rest)
	}
	if len(taken) != 2 || taken["primary_conninfo"] != "primary_conninfo='c'\n" || confValue(taken["restore_command"]) != "cp 'x' %p" {
		t.Errorf("taken %q", taken)
	}
}

func TestConfValue(t *testing.T) {
	for line, want := range map[string]string{
		"a = 'x'": "x", "a='it''s'": "it's", `a = 'C:\\x' # why`: `C:\x`, "a = 5min # why": "5min", "a off": "off", "a = ''": "", "# a = 1": "",
		"a = " + quoteConf(`b\'c`): `b\'c`,
	} {
		if got := confValue(line + "\n"); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// bare is an instance without any server, whose notices are kept.
func bare(t *testing.T) (i *Server, said *[]string) {
	t.Helper()
	dir := t.TempDir()
	said = new([]string)
	i = &Server{Member: "feed-e1", Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Owner: must(OwnerOf("/proc/self")),
		Notice: func(s string) { *said = append(*said, s) }}
	check(t, os.Mkdir(i.Data, 0o700))
	check(t, os.Mkdir(i.Conf, 0o700))
	return i, said
}

func put(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(text), 0o600))
}

func content(t *testing.T, path string) string {
	t.Helper()
	return string(must(os.ReadFile(path)))
}

// What ALTER SYSTEM holds is either ours, and goes, or the user's: then it stays, is kept, or is named.
func TestTakeOver(t *testing.T) {
	i, said := bare(t)
	auto := filepath.Join(i.Data, autoConf)
	put(t, auto,
		"# Do not edit\nwork_mem = '6MB'\nrestore_command = 'fetch %f %p'\nprimary_conninfo = 'host=a password=''s3cret'' "+
			"user=b'\nrecovery_min_apply_delay = '1h'\n")
	check(t, i.claim([]string{"restore_command", "wal_sender_timeout"})) // a seal, and an earlier build, on a server not restarted under us
	put(t, auto, strings.Replace(content(t, auto), "'fetch %f %p'", "''", 1)+"wal_sender_timeout = '3s'\n")
	check(t, i.claim([]string{"restore_command"})) // again: now it holds our value
	check(t, i.takeOver())
	if got := content(t, auto); got != "# Do not edit\nwork_mem = '6MB'\n" {
		t.Errorf("%s holds\n%s", autoConf, got)
	}
	if got, want := content(t, i.alterFile()), alterHeader+"restore_command = 'fetch %f %p'\nrecovery_min_apply_delay = '1h'\n"; got != want {
		t.Errorf("kept\n%s\nwant\n%s", got, want)
	}
	all := strings.Join(*said, "\n")
	if len(*said) != 3 || !strings.Contains(all, `primary_conninfo = "host=a password=*** user=b"`) || strings.Contains(all, "s3cret") ||
		strings.Contains(all, "wal_sender_timeout") {
		t.Errorf("said\n%s", all)
	}
	put(t, auto, "restore_command = ''\n") // no mark is left: the user's, later
	check(t, i.takeOver())
	if got, want := content(t, i.alterFile()), alterHeader+"recovery_min_apply_delay = '1h'\nrestore_command = ''\n"; got != want {
		t.Errorf("kept later\n%s\nwant\n%s", got, want)
	}
	check(t, i.takeOver())
	if len(*said) != 4 {
		t.Errorf("said again: %q", *said)
	}
}

// A rebuild carries over what belongs to the host's user, and so does the next one of a copy that never started, as the user mended it.
func TestOwnFilesOutliveARebuild(t *testing.T) {
	i, said := bare(t)
	for name, text := range map[string]string{"PG_VERSION": "15\n", "postgresql.conf": "mine", autoConf: "work_mem = '6MB'\nport = '1'\n",
		"base/x.conf": ""} {
		put(t, filepath.Join(i.Data, name), text)
	}
	check(t, os.Symlink("../etc/pg_ident.conf", filepath.Join(i.Data, "pg_ident.conf")))
	aside, err := i.SetAside(testContext(t), "old")
	check(t, err)
	fresh := func() {
		check(t, os.Mkdir(i.Data, 0o700))
		put(t, filepath.Join(i.Data, "postgresql.conf"), "its")
		put(t, filepath.Join(i.Data, "pg_hba.conf"), "its")
		put(t, filepath.Join(i.Data, "pg_ident.conf"), "its")
		check(t, i.putBack(i.Data, must(i.Owner.ownFiles(i.ownDir()))))
	}
	fresh()
	if content(t, filepath.Join(i.Data, "postgresql.conf")) != "mine" || content(t, filepath.Join(i.Data, autoConf)) != "work_mem = '6MB'\n" ||
		content(t, filepath.Join(i.Data, "pg_hba.conf")) != "its" || !exists(filepath.Join(aside, "base")) {
		t.Error("the copy has not this host's own files, or more than those")
	}
	if to, err := os.Readlink(filepath.Join(i.Data, "pg_ident.conf")); err != nil || to != "../etc/pg_ident.conf" {
		t.Errorf("a file that was a link leads to %q: %v", to, err)
	}
	put(t, filepath.Join(i.Data, "postgresql.conf"), "mended")
	before := len(*said)
	if _, err = i.SetAside(testContext(t), "again"); err != nil || len(*said) != before {
		t.Errorf("set aside a copy that never worked: %v, said %q", err, *said)
	}
	fresh()
	if text := content(t, filepath.Join(i.Data, "postgresql.conf")); text != "mended" {
		t.Errorf("the next copy has %q", text)
	}
	// A host whose configuration lies elsewhere has none in its data.
	i.Kept = Kept{ConfigFile: "/etc/postgresql/15/main/postgresql.conf", HBAFile: "/etc/postgresql/15/main/pg_hba.conf"}
	check(t, i.putBack(i.Data, nil))
	if exists(filepath.Join(i.Data, "postgresql.conf")) || exists(filepath.Join(i.Data, "pg_hba.conf")) {
		t.Error("the source's configuration lies where nothing reads it")
	}
}

func TestFirstConfig(t *testing.T) {
	i, said := bare(t)
	here := filepath.Join(i.Conf, "key")
	put(t, here, "")
	dir := filepath.Join(i.Data, copiedDir)
	put(t, filepath.Join(dir, "postgresql.conf"),
		"archive_command = '/opt/none %p'\nlog_directory = 'log'\nssl = 'on'\nssl_cert_file = '/none.pem'\nssl_key_file = '"+here+
			"'\nwork_mem = '5MB'\n")
	put(t, filepath.Join(dir, "pg_hba.conf"), "local all all peer\n")
	put(t, filepath.Join(dir, "pg_ident.conf"), "theirs")
	put(t, filepath.Join(i.Data, "pg_ident.conf"), "mine")
	check(t, i.firstConfig(i.Data, Source{"10.0.1.11", 5432}))
	_, body, _ := strings.Cut(content(t, filepath.Join(i.Data, "postgresql.conf")), "again.\n")
	want := "archive_command = '/opt/none %p'\nlog_directory = 'log'\n# not on this host: ssl = 'on'\n# not on this host: ssl_cert_file = " +
		"'/none.pem'\nssl_key_file = '" + here + "'\nwork_mem = '5MB'\n"
	if body != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
	if hba := content(t, filepath.Join(i.Data, "pg_hba.conf")); !strings.HasSuffix(hba, "\nlocal all all peer\n") ||
		!strings.Contains(hba, "yours from now on") {
		t.Errorf("pg_hba.conf:\n%s", hba)
	}
	if content(t, filepath.Join(i.Data, "pg_ident.conf")) != "mine" || exists(dir) || len(*said) != 2 {
		t.Errorf("a file of this host was replaced, or the copy is still there; said %q", *said)
	}
}
