package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/platform"
)

// theft is what root's file must never end up in.
const theft = "only root may read this"

// vault is a folder of root's with a file that PostgreSQL's user may not read, and folders that it may not change.
type vault struct{ dir, secret, folder string }

func newVault(t *testing.T) vault {
	t.Helper()
	v := vault{dir: must(os.MkdirTemp("", "msv"))}
	t.Cleanup(func() { os.RemoveAll(v.dir) })
	v.secret, v.folder = filepath.Join(v.dir, "secret"), filepath.Join(v.dir, "folder")
	check(t, os.Chmod(v.dir, 0o755))
	check(t, os.Mkdir(v.folder, 0o755))
	check(t, os.WriteFile(v.secret, []byte(theft+"\n"), 0o640))
	check(t, os.MkdirAll(filepath.Join(v.folder, "data", "inner"), 0o755))
	check(t, os.WriteFile(filepath.Join(v.folder, "data", "PG_VERSION"), []byte("15\n"), 0o600))
	return v
}

// listing is everything in the vault with its owner, mode and size.
func (v vault) listing(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	check(t, filepath.WalkDir(v.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info := must(e.Info())
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintln(&b, path, info.Mode(), st.Uid, st.Gid, info.Size(), info.ModTime())
		return nil
	}))
	return b.String()
}

// theirs is a member whose every folder belongs to PostgreSQL's user, as that user may have made them.
func theirs(t *testing.T) *Server {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root reads and writes more than PostgreSQL's user may")
	}
	dir := must(os.MkdirTemp("", "mst"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	i := &Server{Member: "feed-e1", Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Socket: filepath.Join(dir, "s"),
		Log: filepath.Join(dir, "log"), Listen: "127.0.0.1", Port: 1, Owner: testOwner(t), Binaries: Binaries{Major: 15}}
	for _, path := range []string{dir, i.Data, i.Conf, i.wal().dir()} {
		check(t, os.MkdirAll(path, 0o700))
		check(t, os.Chown(path, int(i.Owner.UID), int(i.Owner.GID)))
	}
	check(t, os.WriteFile(filepath.Join(i.Data, "PG_VERSION"), []byte("15\n"), 0o644))
	return i
}

// plant puts a link of PostgreSQL's user in a place.
func plant(t *testing.T, i *Server, place, to string) {
	t.Helper()
	check(t, os.RemoveAll(place))
	if !exists(filepath.Dir(place)) {
		check(t, i.Owner.makeDir(filepath.Dir(place), 0o700))
	}
	check(t, os.Symlink(to, place))
	check(t, os.Lchown(place, int(i.Owner.UID), int(i.Owner.GID)))
}

// target is what a planted link names.
type target int

const (
	file   target = iota // root's file
	denied               // root's file, which is to be read and may not be
	folder               // root's folder
)

// TestPlantedLinks: whatever PostgreSQL's user puts in the place of a file or folder that root works with, what it names is neither
// read nor changed.
func TestPlantedLinks(t *testing.T) {
	in := func(names ...string) func(*Server) string {
		return func(i *Server) string { return filepath.Join(append([]string{i.Data}, names...)...) }
	}
	conf := func(name string) func(*Server) string {
		return func(i *Server) string { return filepath.Join(i.Conf, name) }
	}
	startConf := func(i *Server) Service {
		return Service{Unit: "postgresql@15-main.service", StartConf: filepath.Join(i.Conf, "start.conf")}
	}
	for _, c := range []struct {
		name  string
		place func(*Server) string
		to    target
		act   func(*testing.T, *Server) error
	}{
		{"the pid file", in("postmaster.pid"), file, func(t *testing.T, i *Server) error {
			if _, _, ok := i.Running(); ok {
				t.Error("it runs")
			}
			return nil
		}},
		{"the version", in("PG_VERSION"), denied, func(t *testing.T, i *Server) error { return i.startable() }},
		{"standby.signal", in(standbySignal), file, func(t *testing.T, i *Server) error { return i.RestoreStandbySignal(t.Context()) }},
		{"recovery.signal", in("recovery.signal"), file, func(t *testing.T, i *Server) error { return i.removeSignals() }},
		{"a history file that is read", in("pg_wal", "00000005.history"), denied, func(t *testing.T, i *Server) error {
			_, err := i.ReadHistory(t.Context(), 5)
			return err
		}},
		{"a history file that is written", in("pg_wal", "00000002.history"), file, func(t *testing.T, i *Server) error {
			return i.PrepareTimeline(t.Context(), 4, nil)
		}},
		{"a reserved history file", in("pg_wal", "00000003.history"), denied, func(t *testing.T, i *Server) error {
			return i.wal().dropReserved()
		}},
		{"the folder of WAL", in("pg_wal"), folder, func(t *testing.T, i *Server) error {
			return i.PrepareTimeline(t.Context(), 4, map[platform.Timeline]platform.History{})
		}},
		{"ALTER SYSTEM's file, at a start", in(autoConf), denied, func(t *testing.T, i *Server) error { return i.takeOver() }},
		{"ALTER SYSTEM's file, when it is claimed", in(autoConf), denied, func(t *testing.T, i *Server) error {
			return i.claim([]string{"restore_command"})
		}},
		{"ALTER SYSTEM's file, in a copy", in(autoConf), denied, func(t *testing.T, i *Server) error { return i.dropAutoConf(i.Data) }},
		{"a file of the user's", in("pg_hba.conf"), file, func(t *testing.T, i *Server) error { return i.keepOwn(i.Data) }},
		{"a file of the user's, after it was looked at", in("pg_hba.conf"), denied, func(t *testing.T, i *Server) error {
			_, err := i.Owner.readFile(filepath.Join(i.Data, "pg_hba.conf"))
			return err
		}},
		{"a file of the user's that is put back", in("pg_hba.conf"), file, func(t *testing.T, i *Server) error {
			return i.putBack(i.Data, []ownFile{{name: "pg_hba.conf", content: []byte("mine"), mode: 0o600}})
		}},
		{"where the user's files are kept", conf("own.new"), folder, func(t *testing.T, i *Server) error {
			return i.saveOwn([]ownFile{{name: "pg_hba.conf", content: []byte("mine"), mode: 0o600}})
		}},
		{"the kept files of the user's", conf("own"), folder, func(t *testing.T, i *Server) error { return i.OwnFilesWork() }},
		{"the settings", conf("mainstay.conf"), file, func(t *testing.T, i *Server) error { return i.WriteSettings(t.Context(), Settings{}) }},
		{"the settings that are read", conf("mainstay.conf"), denied, func(t *testing.T, i *Server) error {
			return i.EmptySyncNames(t.Context())
		}},
		{"what ALTER SYSTEM had", conf("alter-system.conf"), denied, func(t *testing.T, i *Server) error {
			return i.keepUsers(map[string]string{"restore_command": "restore_command = ''\n"})
		}},
		{"the names of what is altered", conf("altered"), denied, func(t *testing.T, i *Server) error { return i.GiveBack(t.Context()) }},
		{"the configuration that is included", conf("postgresql.conf"), denied, func(t *testing.T, i *Server) error {
			_, err := i.included()
			return err
		}},
		{"the folder of settings", func(i *Server) string { return i.Conf }, folder, func(t *testing.T, i *Server) error {
			return i.WriteSettings(t.Context(), Settings{})
		}},
		{"a configuration that is copied", func(i *Server) string { return filepath.Join(filepath.Dir(i.Data), "hba") }, denied,
			func(t *testing.T, i *Server) error {
				i.Kept.HBAFile = filepath.Join(filepath.Dir(i.Data), "hba")
				return i.CopyConfig(t.Context())
			}},
		{"where a configuration is copied to", in(copiedDir), folder, func(t *testing.T, i *Server) error {
			i.Kept.HBAFile = filepath.Join(filepath.Dir(i.Data), "hba")
			put(t, i.Kept.HBAFile, "local all all peer\n")
			check(t, os.Chown(i.Kept.HBAFile, int(i.Owner.UID), int(i.Owner.GID)))
			return i.CopyConfig(t.Context())
		}},
		{"a copied configuration", in(copiedDir), folder, func(t *testing.T, i *Server) error { return i.firstConfig(i.Data, Source{}) }},
		{"a copied file", in(copiedDir, "pg_hba.conf"), file, func(t *testing.T, i *Server) error { return i.firstConfig(i.Data, Source{}) }},
		{"WAL that is kept", in("pg_wal", "000000010000000000000001"), denied, func(t *testing.T, i *Server) error {
			_, err := i.Owner.copyFile(filepath.Join(t.TempDir(), "kept"), filepath.Join(i.wal().dir(), "000000010000000000000001"))
			return err
		}},
		{"the log", func(i *Server) string { return i.Log }, denied, func(t *testing.T, i *Server) error {
			_, err := i.spawn(t.Context(), StartOptions{})
			return err
		}},
		{"the folder of the socket", func(i *Server) string { return i.Socket }, folder, func(t *testing.T, i *Server) error {
			i.Socket = filepath.Join(i.Socket, "s")
			return i.Owner.makeDir(i.Socket, 0o755)
		}},
		{"the folder above data that is made", func(i *Server) string { return filepath.Dir(i.Data) + "/above" }, folder,
			func(t *testing.T, i *Server) error {
				i.Data = filepath.Join(filepath.Dir(i.Data), "above", "new")
				return i.build(t.Context(), "init", false, func(string) error { return nil })
			}},
		{"the folder above data that is set aside", func(i *Server) string { return filepath.Dir(i.Data) + "/above" }, folder,
			func(t *testing.T, i *Server) error {
				i.Data = filepath.Join(filepath.Dir(i.Data), "above", "data")
				_, err := i.SetAside(t.Context(), "old")
				return err
			}},
		{"the folder above data that is empty", func(i *Server) string { return filepath.Dir(i.Data) + "/above" }, folder,
			func(t *testing.T, i *Server) error {
				i.Data = filepath.Join(filepath.Dir(i.Data), "above", "data", "inner")
				return i.build(t.Context(), "init", false, func(string) error { return nil })
			}},
		{"a folder of WAL that is set aside", in("pg_wal"), folder, func(t *testing.T, i *Server) error {
			at := must(filepath.EvalSymlinks(i.wal().dir()))
			_, err := i.Outlying(asideMark + "x")
			return errors.Join(err, i.FinishAside(t.Context(), i.Data, []Part{{"pg_wal", at, at + "." + asideMark + "x"}}),
				i.FinishAside(t.Context(), i.Data, []Part{{"pg_wal", at, filepath.Join(at, asideMark+"x")}}))
		}},
		{"a tablespace of a copy", in(spaceDir, "16384"), folder, func(t *testing.T, i *Server) error {
			here := must(i.places(t.Context()))
			s := space{here.Links[0].Link, "/none"}.spot(here)
			return errors.Join(i.try(t.Context(), &s), i.clearSpots([]spot{s}))
		}},
		{"the data", in(), folder, func(t *testing.T, i *Server) error { return i.restoreSignal() }},
		{"start.conf that is masked", conf("start.conf"), denied, func(t *testing.T, i *Server) error {
			return startConf(i).Mask(t.Context())
		}},
		{"the former start.conf", conf("start.conf" + formerConf), file, func(t *testing.T, i *Server) error {
			put(t, startConf(i).StartConf, startHeader)
			return startConf(i).Unmask(t.Context())
		}},
		{"start.conf that is looked at", conf("start.conf"), denied, func(t *testing.T, i *Server) error {
			mode, err := startMode(startConf(i).StartConf)
			if mode != "auto" {
				t.Errorf("it says %q", mode)
			}
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, v := theirs(t), newVault(t)
			to := v.secret
			if c.to == folder {
				to = v.folder
			}
			plant(t, i, c.place(i), to)
			before := v.listing(t)
			switch err := c.act(t, i); {
			case c.to == denied && !errors.Is(err, fs.ErrPermission):
				t.Errorf("root's file was read: %v", err)
			case err != nil && strings.Contains(err.Error(), theft):
				t.Errorf("an error tells what root's file holds: %v", err)
			}
			if after := v.listing(t); after != before {
				t.Errorf("what is root's has changed:\n%s\nbefore:\n%s", after, before)
			}
			check(t, filepath.WalkDir(filepath.Dir(i.Log), func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.Type().IsRegular() && strings.Contains(content(t, path), theft) {
					t.Errorf("%s holds what only root may read", path)
				}
				return err
			}))
		})
	}
}

// TestLinkedLayout: data behind a link, with its WAL and a tablespace elsewhere, is as good as any other.
func TestLinkedLayout(t *testing.T) {
	i, ctx := newServer(t, newAuthority(t), "feed-e1"), testContext(t)
	volume := filepath.Join(filepath.Dir(i.Conf), "volume")
	for _, dir := range []string{volume, filepath.Join(volume, "data"), filepath.Join(volume, "space")} {
		check(t, os.Mkdir(dir, 0o700))
		check(t, os.Chown(dir, int(i.Owner.UID), int(i.Owner.GID)))
	}
	check(t, os.Symlink(filepath.Join(volume, "data"), i.Data))
	check(t, i.Initialise(ctx))
	check(t, os.Rename(i.wal().dir(), filepath.Join(volume, "wal")))
	plant(t, i, i.wal().dir(), filepath.Join(volume, "wal"))
	check(t, i.WriteSettings(ctx, Settings{}))
	start(t, i, true)
	check(t, i.CreateRoles(ctx))
	check(t, i.exec(ctx, "CREATE TABLESPACE s LOCATION "+quoteLiteral(filepath.Join(volume, "space"))))
	check(t, i.exec(ctx, "CREATE TABLE public.t (n int) TABLESPACE s"))
	from := mustStatus(t, i).Flush
	insert(t, i, 1)
	kill(t, i)
	d, err := i.CountWAL(ctx, 1, from)
	check(t, err)
	if d.Transactions != 1 {
		t.Errorf("to discard: %+v", d)
	}
	check(t, i.KeepWAL(ctx, filepath.Join(filepath.Dir(i.Conf), "kept"), d, []byte("{}")))
	removePidFile(t, i)
	start(t, i, false)
	kill(t, i)
	aside, err := i.SetAside(ctx, "old")
	check(t, err)
	if aside != filepath.Join(volume, "data.old") || !exists(filepath.Join(aside, "PG_VERSION")) {
		t.Errorf("set aside as %s", aside)
	}
}
