package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
	"mainstay/health"
	"mainstay/health/integrity/serverlog"
)

const (
	// logEvery is how often the server's log is read, and logHangs when a read of it counts as one that hangs.
	logEvery = 2 * time.Second
	logHangs = 10 * time.Second
	// logKept is how often its place is written while nothing else changes. An agent that is killed reads as much again.
	logKept = time.Minute
	// logScans is the pause between two scans for what the log says: a session may log anything at any time.
	logScans = time.Hour
	// mostSigned bounds the text of an entry, in bytes.
	mostSigned = 300
)

// logSign are the entries of one kind.
type logSign struct {
	kind        serverlog.Kind
	count       int64
	text        string
	first, last instant
}

// logged is what the server's log has said. shared.mu guards it.
type logged struct {
	form     serverlog.Form
	unread   string
	settings postgres.LogSettings // as they were last read
	signs    []logSign            // one of each kind
	reading  time.Duration        // since when a read runs; 0 while none does
}

// publish sets a report's part; called with mu held.
func (l *logged) publish(r *health.Member, now time.Duration) {
	log := health.ServerLog{Form: string(l.form), Unread: l.unread}
	if log.Unread == "" {
		log.Unread = l.settings.Hides(l.form)
	}
	if age := now - l.reading; l.reading > 0 && age > logHangs {
		log.Unread = fmt.Sprintf("a read of PostgreSQL's log has not ended for %s", age.Truncate(logHangs))
	}
	minute := func(of instant) int64 {
		return (time.Duration(of.ageMS(now)) * time.Millisecond).Truncate(time.Minute).Milliseconds()
	}
	for _, s := range l.signs {
		log.Signs = append(log.Signs, health.LogSign{Kind: string(s.kind), Count: s.count, Text: s.text, FirstMS: minute(s.first),
			LastMS: minute(s.last)})
	}
	if r.Log = nil; log.Form != "" || log.Unread != "" || len(log.Signs) > 0 {
		r.Log = &log
	}
}

// add counts an entry.
func (l *logged) add(kind serverlog.Kind, e serverlog.Entry, now instant) {
	text := strings.TrimPrefix(e.Severity+": "+e.Message, ": ")
	if e.State != "" {
		text += " (" + e.State + ")"
	}
	text = strings.Join(strings.Fields(text), " ")
	for len(text) > mostSigned {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	n := slices.IndexFunc(l.signs, func(s logSign) bool { return s.kind == kind })
	if n < 0 {
		n, l.signs = len(l.signs), append(slices.Clone(l.signs), logSign{kind: kind, first: now})
	}
	s := &l.signs[n]
	s.count, s.text, s.last = s.count+1, text, now
}

func isWAL(s logSign) bool { return s.kind == health.SignOfWAL }

// logWatcher reads the server's log. Only watchLoop's goroutine uses its own fields. A read may hang with the log's disk: nothing waits
// for it, and it is reported.
type logWatcher struct {
	*shared
	follower postgres.LogFollower
	of       string // the incarnation whose log it is
	kept     KeptLog
	keptAt   time.Duration
	scanned  time.Duration // when the log last caused a scan
	scan     func()        // begins one
}

// KeptLog is the file in which a member's agent keeps how far it has read PostgreSQL's log, and what that has said.
type KeptLog struct {
	Of    string            `json:"of"` // the incarnation of the data
	Place postgres.LogPlace `json:"place"`
	Signs []KeptSign        `json:"signs,omitempty"`
}

// KeptSign are the entries of one kind.
type KeptSign struct {
	Kind  serverlog.Kind `json:"kind"`
	Count int64          `json:"count"`
	Text  string         `json:"text"`
	First time.Time      `json:"first"`
	Last  time.Time      `json:"last"`
}

func logPath(cfg config.Agent, name string) string {
	return filepath.Join(cfg.MemberDir(name), "serverlog.json")
}

// watchLoop reads what the log gains until ctx ends.
func (m *logWatcher) watchLoop(ctx context.Context) {
	m.restore()
	ticker := time.NewTicker(logEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			m.keep(true)
			return
		case <-ticker.C:
		}
		m.watch()
	}
}

// watch reads once.
func (m *logWatcher) watch() {
	m.mu.Lock()
	pg, d := m.pg, m.durable
	m.mu.Unlock()
	if pg == nil || d.SystemID == "" {
		return
	}
	if m.of != "" && m.of != d.Incarnation && !slices.Contains(strings.Fields(d.Lineage), m.of) { // a copy has replaced that data
		m.follower = postgres.LogFollower{}
		m.mu.Lock()
		m.logged.signs = nil
		m.mu.Unlock()
	}
	m.of = d.Incarnation
	m.mu.Lock()
	m.logged.reading = boottime.Now()
	m.mu.Unlock()
	now := instant{boottime.Now(), true}
	damaged := false
	signs := logged{}
	m.mu.Lock()
	signs.signs = slices.Clone(m.logged.signs)
	m.mu.Unlock()
	err := m.follower.Follow(pg, func(e serverlog.Entry) {
		if kind := e.Kind(); kind != "" {
			signs.add(kind, e, now)
			damaged = damaged || kind == serverlog.Damage
		}
	})
	m.mu.Lock()
	l := &m.logged
	if n := slices.IndexFunc(l.signs, isWAL); n >= 0 { // a look has added it meanwhile
		signs.signs = append(slices.DeleteFunc(signs.signs, isWAL), l.signs[n])
	}
	l.form, l.signs, l.reading = m.follower.Form, signs.signs, 0
	switch running := m.view.seen.Process == health.ProcessRunning; {
	case err == nil && m.follower.Passed > 0:
		l.unread = fmt.Sprintf("PostgreSQL's log grows faster than it is read: %d MB of it were passed over", m.follower.Passed>>20)
	case err == nil, !running && errors.Is(err, os.ErrNotExist):
		l.unread = ""
	default:
		l.unread = err.Error()
	}
	m.mu.Unlock()
	if damaged && m.o.Config.Integrity.Every > 0 && (m.scanned == 0 || boottime.Now()-m.scanned > logScans) {
		m.scanned = boottime.Now()
		m.log.Warn("PostgreSQL's log reports damaged data: the files are read now")
		m.scan()
	}
	m.keep(false)
}

// keep writes what a later process needs, when that has changed; the place alone is written seldom unless at once.
func (m *logWatcher) keep(atOnce bool) {
	now, wall := boottime.Now(), time.Now()
	k := KeptLog{Of: m.of, Place: m.follower.LogPlace}
	m.mu.Lock()
	for _, s := range m.logged.signs {
		k.Signs = append(k.Signs, KeptSign{s.kind, s.count, s.text, s.first.wall(now, wall), s.last.wall(now, wall)})
	}
	m.mu.Unlock()
	same := slices.EqualFunc(k.Signs, m.kept.Signs, func(a, b KeptSign) bool { return a.Kind == b.Kind && a.Count == b.Count })
	if k.Of == "" || same && k.Of == m.kept.Of && (k.Place == m.kept.Place || !atOnce && now-m.keptAt < logKept) {
		return
	}
	m.keptAt = now
	if err := statefile.Write(logPath(m.o.Config, m.o.Name), k); err != nil {
		m.log.Warn("what PostgreSQL's log has said is not kept: a restart of the agent forgets it", zap.Error(err))
		return
	}
	m.kept = k
}

// restore takes over what an earlier process has kept. A file that cannot be read is forgotten: the log is read from its end.
func (m *logWatcher) restore() {
	var k KeptLog
	if err := statefile.Read(logPath(m.o.Config, m.o.Name), &k); err != nil {
		m.log.Warn("what PostgreSQL's log said earlier is forgotten", zap.Error(errors.Unwrap(err)))
		return
	}
	m.of, m.kept, m.follower.LogPlace = k.Of, k, k.Place
	now, wall := boottime.Now(), time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range k.Signs {
		m.logged.signs = append(m.logged.signs, logSign{s.Kind, s.Count, s.Text, instantOf(s.First, now, wall), instantOf(s.Last, now, wall)})
	}
}
