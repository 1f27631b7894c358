package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
)

// TestBackupPlan reads a plan, and what an export of it gives is read back as the same.
func TestBackupPlan(t *testing.T) {
	const plan = "backup: {every: 24h, full: 168h, keep: 3, rate: 50, targets: [vault, cloud], archive: false, restore-test: 168h, " +
		"structure: true, checks: [{name: posts, database: feed, sql: \"SELECT count(*) > 0\\nFROM posts\", timeout: 1m}]}"
	p, err := ParsePlatform("p.yaml", []byte(strings.Replace(exported, "tier: critical", plan, 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := &platform.BackupPlan{Every: 24 * time.Hour, Full: 168 * time.Hour, Keep: 3, Rate: 50, Targets: []string{"vault", "cloud"},
		NoArchive: true, TestEvery: 168 * time.Hour, Structure: true, Checks: []platform.BackupCheck{{Name: "posts", Database: "feed",
			SQL: "SELECT count(*) > 0\nFROM posts", Timeout: time.Minute}}}
	if got := p.Clusters[0].Backup; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	again, err := ParsePlatform("p.yaml", Export(p, 1))
	if err != nil || !reflect.DeepEqual(again, p) {
		t.Errorf("the export is read back as %+v, %v:\n%s", again, err, Export(p, 1))
	}
	small, err := ParsePlatform("p.yaml", []byte(strings.Replace(exported, "tier: critical", "backup: {targets: [vault]}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if got := small.Clusters[0].Backup; got.Keep != platform.DefaultKeep || got.Every != 0 || got.NoArchive {
		t.Errorf("the defaults are %+v", got)
	}
	for _, off := range []string{"backup: off", "tier: standard"} {
		none, err := ParsePlatform("p.yaml", []byte(strings.Replace(exported, "tier: critical", off, 1)))
		if err != nil || none.Clusters[0].Backup != nil {
			t.Errorf("%s: %+v, %v", off, none, err)
		}
	}
	const kept = "~ clusters[feed].backup.keep: 7 -> 3  # the newest 3 good backups are kept"
	if text := FormatDiff(Diff(small, p)); !strings.Contains(text, kept) {
		t.Errorf("the difference is\n%s", text)
	}
}

// TestBackupWith reads a plan for another program, and exports it as it was.
func TestBackupWith(t *testing.T) {
	read := func(line string) *platform.Platform {
		t.Helper()
		p, err := ParsePlatform("p.yaml", []byte(strings.Replace(exported, "tier: critical", line, 1)))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePlatform("p.yaml", Export(p, 1))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%s: the export is read back as %+v, %v:\n%s", line, again, err, Export(p, 1))
		}
		return p
	}
	rest := read("backup: {every: 24h, full: 168h, with: {pgbackrest: main_1}, restore-test: 168h}")
	if b := rest.Clusters[0].Backup; *b.With != (platform.BackupWith{Program: platform.PgBackRest, Name: "main_1"}) || b.Archives() ||
		len(b.Targets) > 0 {
		t.Errorf("got %+v", b)
	}
	barman := read("backup: {with: {barman: no}, archive: false}")
	if b := barman.Clusters[0].Backup; *b.With != (platform.BackupWith{Program: platform.Barman, Name: "no"}) {
		t.Errorf("got %+v", b)
	}
	const changed = `~ clusters[feed].backup.with: {barman: "no"} -> {pgbackrest: "main_1"}  # pgbackrest makes the backups`
	if text := FormatDiff(Diff(barman, rest)); !strings.Contains(text, changed) {
		t.Errorf("the difference is\n%s", text)
	}
}

const backupSection = `backup:
  staging: stage
  targets:
    vault: {directory: /mnt/vault}
    cloud: {s3: {endpoint: "https://s3.example.org", bucket: pg-backups, region: eu-1, prefix: prod/feed, credentials: password, ca: ca.crt}}
    tape: {exec: {put: [/bin/put, "{name}"], get: [/bin/get, "{name}"], list: [/bin/list, "{name}"], remove: [/bin/rm, "{name}"]}}
  pgbackrest: {config: /etc/pgbackrest.conf}
  barman: {program: bin/barman, config: barman.conf, user: backup}
`

func TestAgentBackup(t *testing.T) {
	dir := folder(t)
	a, err := LoadAgent(write(t, dir, "agent.yaml", agentFile+backupSection))
	if err != nil {
		t.Fatal(err)
	}
	b := a.Backup
	if b.Staging != dir+"/stage" || b.Targets["vault"].Directory != "/mnt/vault" || b.Targets["cloud"].S3.Credentials != dir+"/password" ||
		b.Targets["tape"].Exec.Put[0] != "/bin/put" {
		t.Errorf("got %+v", b)
	}
	if rest, want := *b.PgBackRest, (BackupProgram{"/usr/bin/pgbackrest", "/etc/pgbackrest.conf", "postgres"}); rest != want {
		t.Errorf("got %+v, want %+v", rest, want)
	}
	if barman, want := *b.Barman, (BackupProgram{dir + "/bin/barman", dir + "/barman.conf", "backup"}); barman != want {
		t.Errorf("got %+v, want %+v", barman, want)
	}
	if a, err = LoadAgent(write(t, dir, "agent.yaml", agentFile)); err != nil || a.Backup.Staging != dir+"/agent/backup" {
		t.Errorf("by default it is %q, %v", a.Backup.Staging, err)
	}
	load := func(path string) error { _, err := LoadAgent(path); return err }
	testChanges(t, agentFile+backupSection, load, []change{
		{"two kinds", "vault: {directory: /mnt/vault}", "vault: {directory: /mnt/vault, exec: {}}",
			"F:22:5: backup.targets.vault: is not one of directory, s3 and exec; write one of them"},
		{"no kind", "vault: {directory: /mnt/vault}", "vault: {}",
			"F:22:5: backup.targets.vault: is not one of directory, s3 and exec; write one of them"},
		{"a root", "/mnt/vault", "/", "F:22:24: backup.targets.vault.directory: is the root of the file system; name a folder for backups alone"},
		{"no URL", "https://s3.example.org", "s3.example.org",
			`F:23:28: backup.targets.cloud.s3.endpoint: "s3.example.org" is not the URL of a server; ` +
				"write it as https://s3.example.org, without a path"},
		{"secret in the URL", "https://s3", "https://a:b@s3", "F:23:28: backup.targets.cloud.s3.endpoint: holds a user's name; " +
			"write secrets into the file of credentials alone"},
		{"no credentials", "credentials: password, ", "", "F:23:17: backup.targets.cloud.s3.credentials: is missing; " +
			"write the two lines access-key: ... and secret-key: ... into a file that only the agent can read, and name it here"},
		{"a bucket", "pg-backups", "PG", `F:23:62: backup.targets.cloud.s3.bucket: "PG" is not the name of a bucket; ` +
			"use 3 to 63 of a to z, 0 to 9, . and -"},
		{"no name", `put: [/bin/put, "{name}"]`, `put: [/bin/put]`, "F:24:24: backup.targets.tape.exec.put: no argument has {name}; say where the object's name goes"},
		{"no path", `put: [/bin/put, `, `put: [put, `, `F:24:24: backup.targets.tape.exec.put: "put" is not the absolute path of a program; write it in full`},
		{"no configuration", "{config: /etc/pgbackrest.conf}", "{}",
			"F:25:15: backup.pgbackrest.config: is missing; name the program's configuration " +
				"file, such as /etc/pgbackrest.conf"},
		{"no program", `put: [/bin/put, "{name}"], `, ``, "F:24:18: backup.targets.tape.exec.put: is missing; write the program's path and its arguments, {name} for the object's name"},
	})
}

// TestLoadForRestore: a restore needs the targets and a staging folder alone; neither certificates nor controllers have to be there.
func TestLoadForRestore(t *testing.T) {
	dir := folder(t)
	const minimal = "postgres: {user: pguser}\nbackup: {staging: /srv/staging, targets: {vault: {directory: /mnt/vault}}}\n"
	a, err := LoadForRestore(write(t, dir, "left.yaml", minimal))
	if err != nil || a.Backup.Staging != "/srv/staging" || a.Backup.Targets["vault"].Directory != "/mnt/vault" || a.Postgres.User != "pguser" {
		t.Errorf("%+v, %v", a, err)
	}
	lost := strings.ReplaceAll(agentFile+backupSection, "ca: ca.crt, cert", "ca: nothing/ca.crt, cert")
	if _, err := LoadAgent(write(t, dir, "agent.yaml", lost)); err == nil {
		t.Error("an agent starts without the certificate of its authority")
	}
	if a, err = LoadForRestore(dir + "/agent.yaml"); err != nil || len(a.Backup.Targets) != 3 {
		t.Errorf("the file of an agent whose certificates are lost: %+v, %v", a.Backup, err)
	}
	load := func(path string) error { _, err := LoadForRestore(path); return err }
	testChanges(t, minimal, load, []change{
		{"no target", "targets: {vault: {directory: /mnt/vault}}", "targets: {}",
			"F:2:42: backup.targets: is missing; define the target that has the backups, such as {vault: {directory: /mnt/vault}}"},
		{"no staging", "staging: /srv/staging, ", "", "F:2:9: backup.staging: is missing; name a folder with room for the data"},
		{"two kinds", "{directory: /mnt/vault}", "{directory: /mnt/vault, exec: {}}",
			"F:2:43: backup.targets.vault: is not one of directory, s3 and exec; write one of them"},
		{"no such key", "staging: /srv", "stagign: /srv", "F:2:10: backup.stagign: unknown key; did you mean staging?"},
	})
}
