package postgres

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// outside is a primary as a distribution makes it: configuration, access rules and maps in a folder of their own, passwords
// asked for on the local socket. It runs as its user started it.
func outside(t *testing.T) (i *Server, etc string) {
	t.Helper()
	i, ctx := newServer(t, newAuthority(t), "feed-e1"), testContext(t)
	etc = filepath.Join(filepath.Dir(i.Data), "etc")
	for _, dir := range []string{i.Data, etc, filepath.Join(etc, "conf.d"), i.Socket} {
		check(t, i.Owner.makeDir(dir, 0o750))
	}
	secret := filepath.Join(filepath.Dir(i.Data), "password")
	give := func(path, text string) { check(t, i.Owner.writeFile(path, []byte(text), 0o600)) }
	give(secret, "let me in\n")
	_, err := i.run(ctx, "initdb", "-D", i.Data, "-k", "-U", "postgres", "--locale=C", "-A", "scram-sha-256", "--pwfile", secret)
	check(t, err)
	give(filepath.Join(etc, "postgresql.conf"), strings.Join([]string{
		"data_directory = " + quoteConf(i.Data), "hba_file = " + quoteConf(filepath.Join(etc, "pg_hba.conf")),
		"ident_file = " + quoteConf(filepath.Join(etc, "pg_ident.conf")),
		"external_pid_file = " + quoteConf(filepath.Join(i.Socket, "pid")), "port = " + strconv.Itoa(i.Port),
		"unix_socket_directories = " + quoteConf(i.Socket),
		"listen_addresses = '127.0.0.1'", "ssl_ca_file = '/none/ca.crt'", "work_mem = 5MB", "restore_command = 'false'",
		"wal_receiver_timeout = 1min",
		"wal_sender_timeout = 2min", "include_dir 'conf.d'"}, "\n")+"\n")
	give(filepath.Join(etc, "conf.d", "mine.conf"), "work_mem = '7MB'\nlog_line_prefix = '%m it''s '\n")
	give(filepath.Join(etc, "pg_hba.conf"),
		"local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n")
	give(filepath.Join(etc, "pg_ident.conf"), "# nobody\n")
	for _, name := range []string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf"} {
		check(t, os.Remove(filepath.Join(i.Data, name)))
	}
	i.TLS, i.Replication.User = TLSFiles{}, "postgres"
	i.SuperPassfile, i.Replication.Passfile = secret+".super", secret+".repl"
	give(i.Replication.Passfile, "*:*:*:postgres:let me in\n")
	check(t, os.WriteFile(i.SuperPassfile, []byte("localhost:*:*:postgres:let me in\n"), 0o600))
	user := *i
	user.Conf = etc
	_, err = user.spawn(ctx, StartOptions{})
	check(t, err)
	eventually(t, "the user's server", func() bool { _, err := i.Status(ctx); return err == nil })
	return i, etc
}

func shows(t *testing.T, i *Server, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if s, err := i.ShowSetting(testContext(t), name); err != nil || s.Value != value {
			t.Errorf("%s of %s is %q (%s), want %q: %v", name, i.Member, s.Value, s.SourceFile, value, err)
		}
	}
}

// TestConfigurationOutside: adopted, sealed and given back while it runs as its user started it; then started by us, cloned
// to a host without any configuration, and that clone rebuilt. Everything goes through a socket that asks for a password.
func TestConfigurationOutside(t *testing.T) {
	a, etc := outside(t)
	ctx := testContext(t)
	without := *a
	without.SuperPassfile = ""
	if _, err := without.Status(ctx); err == nil {
		t.Fatal("the socket lets the superuser in without a password")
	}
	refusals, facts, err := a.AdoptChecks(ctx)
	check(t, err)
	if len(refusals) > 0 {
		t.Fatal(refusals)
	}
	a.Kept = facts.Keep()
	check(t, a.exec(ctx, "ALTER SYSTEM SET recovery_min_apply_delay = '1h'"))
	replaced, err := a.Replaces(ctx, Settings{})
	check(t, err)
	if all := strings.Join(replaced, "\n"); !strings.Contains(all,
		"wal_receiver_timeout = 1min ("+etc+"/postgresql.conf line 11) becomes 3s") || strings.Contains(all, "port") ||
		strings.Contains(all, "work_mem") || strings.Contains(all, "wal_sender_timeout") {
		t.Errorf("what of the user's is replaced:\n%s", all)
	}
	t.Run("before its restart", func(t *testing.T) { givenBack(t, a) })
	check(t, a.CopyConfig(ctx))
	t.Run("started by us", func(t *testing.T) { underUs(t, a) })
	check(t, a.CopyConfig(ctx))
	t.Run("cloned and rebuilt", func(t *testing.T) { clonedOutside(t, a) })
}

// givenBack: what a seal and a candidacy set by ALTER SYSTEM does not outlive them.
func givenBack(t *testing.T, a *Server) {
	ctx := testContext(t)
	check(t, a.Owner.makeDir(a.Conf, 0o750))
	check(t, a.AlterSystem(ctx, map[string]string{"restore_command": "", "recovery_min_apply_delay": "0", "wal_receiver_timeout": "3s"}))
	check(t, a.Reload(ctx))
	shows(t, a, map[string]string{"restore_command": "", "recovery_min_apply_delay": "0", "wal_receiver_timeout": "3s"})
	check(t, a.GiveBack(ctx))
	check(t, a.Reload(ctx))
	shows(t, a, map[string]string{"restore_command": "false", "recovery_min_apply_delay": "1h", "wal_receiver_timeout": "3s"})
}

func underUs(t *testing.T, a *Server) {
	ctx := testContext(t)
	kill(t, a)
	check(t, a.WriteSettings(ctx, Settings{}))
	start(t, a, true)
	shows(t, a, map[string]string{"restore_command": "false", "recovery_min_apply_delay": "1h", "wal_receiver_timeout": "3s",
		"wal_sender_timeout": "2min", "work_mem": "7MB", "hba_file": a.Kept.HBAFile})
	sealed := Settings{Sealed: true, NoReplayDelay: true}
	check(t, a.WriteSettings(ctx, sealed))
	check(t, a.Reload(ctx))
	shows(t, a, map[string]string{"restore_command": "", "recovery_min_apply_delay": "0"})
	check(t, a.WriteSettings(ctx, Settings{}))
	check(t, a.Reload(ctx))
	shows(t, a, map[string]string{"restore_command": "false", "recovery_min_apply_delay": "1h"})
}

func clonedOutside(t *testing.T, a *Server) {
	b, ctx := newServer(t, newAuthority(t), "feed-w1"), testContext(t)
	b.TLS, b.Replication, b.SuperPassfile = TLSFiles{}, a.Replication, a.SuperPassfile
	var said []string
	b.Notice = func(s string) { said = append(said, s) }
	check(t, a.EnsureSlots(ctx, []string{SlotName(b.Member)}, nil))
	check(t, b.Clone(ctx, a.source(), SlotName(b.Member), nil, nil))
	if len(said) != 3 || exists(filepath.Join(b.Data, copiedDir)) {
		t.Errorf("said %q", said)
	}
	conf := filepath.Join(b.Data, "postgresql.conf")
	wrote := content(t, conf)
	for _, word := range []string{"work_mem = '7MB'", "wal_sender_timeout = '2min'", "# not on this host: ssl_ca_file",
		"restore_command = 'false'", "log_line_prefix = '%m it''s '"} {
		if !strings.Contains(wrote, word) {
			t.Errorf("no %s in\n%s", word, wrote)
		}
	}
	for _, name := range []string{"data_directory", "hba_file", "external_pid_file", "wal_receiver_timeout", "port"} {
		if slices.ContainsFunc(strings.Split(wrote, "\n"), func(l string) bool { return strings.HasPrefix(l, name+" ") }) {
			t.Errorf("%s was copied:\n%s", name, wrote)
		}
	}
	follow(t, b, a)
	start(t, b, false)
	streams(t, b)
	shows(t, b, map[string]string{"work_mem": "7MB", "hba_file": filepath.Join(b.Data, "pg_hba.conf"), "restore_command": "false"})

	check(t, b.Owner.writeFile(conf, []byte(wrote+"work_mem = '8MB'\n"), 0o600))
	kill(t, b)
	_, err := b.SetAside(ctx, "old")
	check(t, err)
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	follow(t, b, a)
	start(t, b, false)
	streams(t, b)
	shows(t, b, map[string]string{"work_mem": "8MB"})
	check(t, b.OwnFilesWork())
}
