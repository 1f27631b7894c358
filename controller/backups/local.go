package backups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/state"
	"mainstay/health/backup"
	"mainstay/health/backup/archive"
)

// Local restores a cluster without its controllers, agents and members, from what one target holds. It is for one goroutine.
type Local struct {
	// Target is its name in the agent's file.
	Target string
	// Catalogue has what the target holds, as it was when it was released: restore tests since then are in the controllers' catalogue alone.
	Catalogue state.Backups
	// Unread says which records at the target could not be read, and why.
	Unread []string

	cluster string
	conf    config.Agent
	from    archive.Named
}

// OpenLocal reads the catalogue of a cluster from a target of an agent's file (config.LoadForRestore). named may be empty if the file has
// one target only.
func OpenLocal(ctx context.Context, conf config.Agent, named, cluster string) (*Local, error) {
	names := slices.Sorted(maps.Keys(conf.Backup.Targets))
	switch _, there := conf.Backup.Targets[named]; {
	case named == "" && len(names) == 1:
		named = names[0]
	case named == "":
		return nil, fmt.Errorf("the file defines the targets %s: name one of them", strings.Join(names, ", "))
	case !there:
		return nil, fmt.Errorf("the file defines no target %s; it has %s", named, strings.Join(names, ", "))
	}
	p := openPlace(named, conf.Backup.Targets[named])
	if p.Target == nil {
		return nil, errors.New(p.trouble)
	}
	l := &Local{Target: named, cluster: cluster, conf: conf, from: p.Named}
	return l, l.read(ctx)
}

// read reads the records of the target. One that cannot be read keeps no other from being used.
func (l *Local) read(ctx context.Context) error {
	objects, err := l.from.List(ctx, backup.Folder(l.cluster))
	if err != nil {
		return err
	}
	var records []*backup.Record
	for _, o := range objects {
		id := path.Base(path.Dir(o.Name))
		if o.Name != backup.Objects(l.cluster, id)[0] {
			continue
		}
		r, err := backup.ReadRecord(ctx, l.from, l.cluster, id)
		if err != nil {
			l.Unread = append(l.Unread, err.Error())
			continue
		}
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b *backup.Record) int { return a.Ended.Compare(b.Ended) })
	for _, r := range records {
		b := recordOf(r, nil)
		b.Ended = stamp(r.Ended)
		l.Catalogue.Records = append(l.Catalogue.Records, b)
	}
	if len(records) == 0 {
		text := fmt.Sprintf("target %s has no backup of cluster %s", l.Target, l.cluster)
		return errors.New(strings.Join(append([]string{text}, l.Unread...), "; "))
	}
	return nil
}

// LocalRestore is a restore that was planned.
type LocalRestore struct {
	Backup platform.Backup
	Into   string
	Plan   []string // what it does, for people

	engine *backup.Engine
	order  backup.Restoration
}

// Prepare plans a restore into a folder that is absent or empty: from that backup, or from the newest that reaches the point, if id is
// empty. It reads the archive, and writes nothing but into staging.
func (l *Local) Prepare(ctx context.Context, id string, until platform.RestorePoint, into string) (*LocalRestore, error) {
	if err := l.usable(into); err != nil {
		return nil, err
	}
	b, err := l.choose(id, until)
	if err != nil {
		return nil, err
	}
	chain := l.Catalogue.Chain(b.ID)
	if chain == nil {
		return nil, fmt.Errorf("target %s does not hold all that backup %s is built on: name another one", l.Target, b.ID)
	}
	for _, part := range chain {
		if !part.Restorable() {
			return nil, fmt.Errorf("backup %s is %s: %s", part.ID, part.Verdict, part.Evidence)
		}
	}
	p := &LocalRestore{Backup: *b, Into: into, order: backup.Restoration{Cluster: l.cluster, ID: b.ID, From: l.from}}
	if p.engine, err = l.engineFor(b, into); err != nil {
		return nil, err
	}
	built := ""
	if len(chain) > 1 {
		built = fmt.Sprintf(", and the %d that it is built on", len(chain)-1)
	}
	p.Plan = []string{fmt.Sprintf("%s (taken from %s at %s, consistent at %s, %d MB packed) is fetched from %s%s", b.ID, b.Member, b.Ended,
		b.End, b.Packed>>20, l.Target, built)}
	replay := "it replays to the end of the backup, " + b.End.String() + ": what was committed since is not in it"
	if until != (platform.RestorePoint{}) {
		told := ""
		if told, err = l.resolve(ctx, p, until); err != nil {
			return nil, err
		}
		replay += told
		if u := p.order.Until; u.LSN != 0 {
			replay = fmt.Sprintf("it replays WAL of the archive up to %s on timeline %d%s", u.LSN, u.Timeline, told)
		}
	}
	p.Plan = append(p.Plan, replay, fmt.Sprintf("PostgreSQL %s in %s proves the copy: it recovers, and all its pages are read",
		p.engine.Server.Binaries.Version, p.engine.Server.Binaries.Dir),
		"it stays, stopped, in "+into+"; no controller, agent or member is asked")
	return p, nil
}

// usable refuses a folder before anything is fetched for it.
func (l *Local) usable(into string) error {
	if !filepath.IsAbs(into) {
		return fmt.Errorf("%s is not an absolute path", into)
	}
	if inside, err := filepath.Rel(l.conf.Backup.Staging, into); err == nil && filepath.IsLocal(inside) {
		return fmt.Errorf("%s lies in the staging folder, where Mainstay removes what it does not know: name another one", into)
	}
	if _, err := os.Stat(filepath.Dir(into)); err != nil {
		return fmt.Errorf("the folder above must be there: %w", err)
	}
	entries, err := os.ReadDir(into)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s holds files: name a folder that is absent or empty", into)
	}
	return nil
}

func (l *Local) choose(id string, until platform.RestorePoint) (*platform.Backup, error) {
	if id != "" {
		if b := l.Catalogue.Record(id); b != nil {
			return b, nil
		}
		var all []string
		for _, b := range l.Catalogue.Records {
			all = append(all, b.ID)
		}
		return nil, fmt.Errorf("target %s has no backup %s of cluster %s; it has %s", l.Target, id, l.cluster, strings.Join(all, ", "))
	}
	b, oldest := l.Catalogue.Reaching(until)
	switch {
	case b != nil:
		return b, nil
	case oldest == nil:
		return nil, fmt.Errorf("target %s has no good backup of cluster %s", l.Target, l.cluster)
	}
	return nil, fmt.Errorf("no good backup of %s at target %s was complete before that point; the oldest, %s, is consistent at %s and ended "+
		"at %s", l.cluster, l.Target, oldest.ID, oldest.End, oldest.Ended)
}

// engineFor is an engine with the programs of the backup's version, as the user of the folder or of the agent's file.
func (l *Local) engineFor(b *platform.Backup, into string) (*backup.Engine, error) {
	end := strings.IndexFunc(b.Version, func(r rune) bool { return r < '0' || r > '9' }) // 18.2, or 19beta1
	major, err := strconv.Atoi(b.Version[:max(end, 0)])
	if err != nil {
		return nil, fmt.Errorf("the record of %s does not say which version of PostgreSQL it is of: %q", b.ID, b.Version)
	}
	server := &postgres.Server{Member: b.Member, Data: into}
	if server.Binaries, err = postgres.FindFor(l.conf.Postgres.Binaries, major); err != nil {
		return nil, err
	}
	if server.Owner, err = postgres.OwnerFor(into, l.conf.Postgres.User); err != nil {
		return nil, err
	}
	return &backup.Engine{Staging: l.conf.Backup.Staging, Server: server}, nil
}

func (l *Local) resolve(ctx context.Context, p *LocalRestore, until platform.RestorePoint) (told string, err error) {
	format, err := archive.FormatAt(ctx, l.from, l.cluster)
	if err != nil {
		return "", err
	}
	format.SystemID = p.Backup.SystemID // WAL of another cluster is none of this one's
	at := source{l.from, l.cluster, format, p.engine.Staging, "which --backup names"}
	p.order.WAL, p.order.Until, told, err = at.resolve(ctx, &p.Backup, until)
	return told, err
}

// Run restores, and proves the copy. Where it fails it leaves nothing in the folder.
func (p *LocalRestore) Run(ctx context.Context, progress func(backup.Progress)) (*backup.Tested, error) {
	return proven(p.engine.Restore(ctx, p.order, p.Into, progress))
}

// Start is the command that starts the copy apart from everything, as PostgreSQL's user.
func (p *LocalRestore) Start() string {
	const apart = "-c port=5499 -c listen_addresses='' -c unix_socket_directories=/tmp -c archive_mode=off"
	return fmt.Sprintf("sudo -u %s %s start -D %s -o \"%s\"",
		p.engine.Server.Owner.Name, filepath.Join(p.engine.Server.Binaries.Dir, "pg_ctl"), p.Into, apart)
}
