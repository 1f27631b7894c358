package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeptIsNeverLowered(t *testing.T) {
	i := &Server{Member: "feed-e1", Data: "/data", Conf: "/conf", Socket: "/run/x", Listen: "10.0.0.1", Port: 5432}
	f := Facts{ConfigFile: "/etc/pg/postgresql.conf", HBAFile: "/etc/pg/pg_hba.conf", IdentFile: "/etc/pg/pg_ident.conf", Listen: "*",
		Sockets:  "/run/a, /run/b",
		WALLevel: "logical", MaxWALSenders: 40, MaxReplicationSlots: 3, WALKeepMB: 4096, MaxSlotWALKeepMB: -1}
	i.Kept = f.Keep()
	v := i.Values(Settings{})
	for name, want := range map[string]string{
		"hba_file": "/etc/pg/pg_hba.conf", "ident_file": "/etc/pg/pg_ident.conf", "listen_addresses": "*",
		"unix_socket_directories": "/run/a, /run/b",
		"wal_level":               "logical", "max_wal_senders": "40", "max_replication_slots": "16", "wal_keep_size": "4096MB",
		"max_slot_wal_keep_size": "10240MB",
	} {
		if v[name] != want {
			t.Errorf("%s = %q, want %q", name, v[name], want)
		}
	}
	if i.userConfig() != "/etc/pg/postgresql.conf" {
		t.Errorf("the user's configuration is %s", i.userConfig())
	}
	clone := Kept{}.Raise(Control{WALLevel: "logical", MaxWALSenders: 40})
	if clone != (Kept{WALLevel: "logical", MaxWALSenders: 40}) || clone.Raise(Control{WALLevel: "replica", MaxWALSenders: 10}) != clone {
		t.Errorf("a clone's: %+v", clone)
	}
	had := Kept{WALLevel: "logical", MaxWALSenders: 40}
	for _, c := range []struct {
		wanted, inForce map[string]string
		want            Kept
	}{
		{nil, nil, had},
		{nil, map[string]string{"wal_level": "replica", "max_wal_senders": "16", "max_replication_slots": "16"},
			Kept{WALLevel: "logical", MaxWALSenders: 40, MaxReplicationSlots: 16}},
		{map[string]string{"max_wal_senders": "50"}, nil, Kept{WALLevel: "logical", MaxWALSenders: 40, Asked: Asked{MaxWALSenders: 50}}},
		{map[string]string{"max_wal_senders": "many", "max_replication_slots": "999999999"}, nil, had},
	} {
		if got := had.Want(c.wanted, c.inForce); got != c.want {
			t.Errorf("%v, %v: %+v", c.wanted, c.inForce, got)
		}
	}
	asked := (Kept{}).Want(map[string]string{"wal_level": "LOGICAL", "max_replication_slots": "20"}, nil)
	i.Kept = asked
	if v := i.Values(Settings{}); v["wal_level"] != "logical" || v["max_replication_slots"] != "20" || v["max_wal_senders"] != "16" {
		t.Errorf("asked for: %v", v)
	}
	if back := asked.Want(nil, nil); back != (Kept{}) {
		t.Errorf("asked for no longer, and never in force: %+v", back)
	}
	i.Kept = Kept{}
	if v = i.Values(Settings{}); v["listen_addresses"] != "10.0.0.1, 127.0.0.1, ::1" || v["max_wal_senders"] != "16" || v["hba_file"] != "" {
		t.Errorf("of our own: %v", v)
	}
}

// What the user set by ALTER SYSTEM and we never set stays; what would win over our files goes.
func TestOverridingKeys(t *testing.T) {
	i := &Server{Data: "/data", Socket: "/run"}
	keys := strings.Join(i.overriding(), " ")
	for key, ours := range map[string]bool{"ssl": false, "ssl_cert_file": false, "hba_file": false, "work_mem": false,
		"primary_conninfo": true, "restore_command": true, "recovery_min_apply_delay": true, "max_wal_senders": true} {
		if strings.Contains(" "+keys+" ", " "+key+" ") != ours {
			t.Errorf("%s is dropped: %t, want %t", key, !ours, ours)
		}
	}
	i.TLS = TLSFiles{CA: "ca", Cert: "crt", Key: "key"}
	if !strings.Contains(strings.Join(i.overriding(), " "), "ssl_cert_file") {
		t.Error("with our certificate the user's must not win")
	}
}

func TestPassfileThatLibpqWouldNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passfile")
	o, err := OwnerOf("/proc/self")
	check(t, err)
	i := &Server{Owner: o, Replication: Credentials{User: "repl", Passfile: path}}
	if why := i.passfileWrong(); !strings.Contains(why, path) {
		t.Errorf("absent: %q", why)
	}
	check(t, os.WriteFile(path, []byte("*:*:*:repl:x\n"), 0o644))
	if why := i.passfileWrong(); !strings.Contains(why, "mode 0644") {
		t.Errorf("open to others: %q", why)
	}
	check(t, os.Chmod(path, 0o600))
	if why := i.passfileWrong(); why != "" {
		t.Errorf("a good one: %q", why)
	}
}
