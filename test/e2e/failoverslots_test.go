package e2e

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/testbed"
)

// subscriber consumes a failover slot, from whichever member leads, and keeps what it was given.
type subscriber struct {
	*trial
	written int
	have    map[int]bool
}

// subscribed: what a user asks for in PostgreSQL's own settings is all that a logical consumer needs to outlive a switchover and the
// loss of a host, on 17 and later: it misses nothing and is never ahead.
func subscribed(t *testing.T, binaries string) {
	s := &subscriber{trial: begin(t, testbed.Options{Binaries: binaries}), have: map[int]bool{}}
	s.asks(t)
	first := s.primary(t)
	s.sql(t, first, "CREATE TABLE public.outbox (n int PRIMARY KEY)")
	s.sql(t, first, "SELECT pg_create_logical_replication_slot('cdc', 'test_decoding', false, false, true)")
	s.copied(t)
	s.hears(t, 5)

	t.Run("switchover", func(t *testing.T) { // the first primary's own slot would stop the synchronisation to it
		s.switchover(t)
		s.hears(t, 5)
		s.copied(t)
		s.vacuums(t)
	})
	t.Run("replica lost", func(t *testing.T) { // it is waited for until it has left the durability set
		lost := s.replica(t)
		s.check(t, testbed.Signal(syscall.SIGKILL, s.Everything(lost)...))
		s.hears(t, 5)
		s.check(t, s.StartAgent(lost.Name))
		s.copied(t)
	})
	t.Run("primary lost", func(t *testing.T) {
		p := s.primary(t)
		s.writes(t, p, 5)
		s.check(t, testbed.Signal(syscall.SIGKILL, s.Everything(s.Host(p))...))
		s.failedOver(t, p, fencing.QuorumSealed, fencing.LeaseExpired)
		s.hears(t, 5)
		s.check(t, s.StartAgent(s.Host(p).Name))
		s.copied(t)
	})
	s.judge()
}

// asks sets what a user sets, and waits out what Mainstay says of it: that each member must be restarted.
func (s *subscriber) asks(t *testing.T) {
	t.Helper()
	p := s.primary(t)
	for _, h := range s.Of(false) {
		for _, set := range []string{"wal_level = logical", "sync_replication_slots = on", "hot_standby_feedback = on"} {
			s.sql(t, h.Member, "ALTER SYSTEM SET "+set)
		}
	}
	for _, h := range s.Of(false) {
		s.check(t, s.Wait(s.ctx, "the word that "+h.Member+" must be restarted", func() (bool, string) {
			st, err := s.Status(s.ctx)
			return err == nil && slices.ContainsFunc(st.Problems, func(p health.Problem) bool {
				return p.Kind == health.PendingRestart && p.Member == h.Member && strings.Contains(p.Evidence, "wal_level")
			}), fmt.Sprint(st.Problems, err)
		}))
	}
	for _, h := range s.Of(false) {
		if h.Member != p {
			s.check(t, testbed.Signal(syscall.SIGKILL, s.Postmaster(h.Member)))
			s.has(t, h.Member)
		}
	}
	s.healthy(t)
	s.switchover(t) // and the former primary starts anew
	s.has(t, p)
}

// has waits until a member runs with what was asked for.
func (s *subscriber) has(t *testing.T, member string) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, member+" with what was asked for", func() (bool, string) {
		out, err := s.SQL(s.ctx, member, "postgres", "SELECT current_setting('wal_level') || ' ' || current_setting('sync_replication_slots')")
		return err == nil && out == "logical on", out + fmt.Sprint(err)
	}))
}

// copied waits until each replica has a copy of the slot. An idle primary would log what a new copy waits for by and by.
func (s *subscriber) copied(t *testing.T) {
	t.Helper()
	p := s.primary(t)
	for _, h := range s.Of(false) {
		if h.Member == p {
			continue
		}
		s.check(t, s.Wait(s.ctx, "a copy of the slot on "+h.Member, func() (bool, string) {
			if _, err := s.SQL(s.ctx, p, "postgres", "SELECT pg_log_standby_snapshot()"); err != nil {
				return false, err.Error()
			}
			s.consume(p)
			out,
				err := s.SQL(s.ctx, h.Member, "postgres", "SELECT slot_name, synced, temporary, wal_status FROM pg_replication_slots WHERE failover")
			return err == nil && out == "cdc|t|f|reserved", out + fmt.Sprint(err)
		}))
	}
}

// vacuums waits until no slot that a replica keeps for another member holds back rows of before, from when it was primary.
func (s *subscriber) vacuums(t *testing.T) {
	t.Helper()
	for _, h := range s.Of(false) {
		if h.Member == s.primary(t) {
			continue
		}
		s.check(t, s.Wait(s.ctx, "the slots on "+h.Member+" to hold back no rows", func() (bool, string) {
			s.sql(t, s.primary(t), "CHECKPOINT")
			out, err := s.SQL(s.ctx, h.Member, "postgres", `SELECT count(*), count(*) FILTER (WHERE xmin IS NULL AND catalog_xmin IS NULL)
				FROM pg_replication_slots WHERE slot_name LIKE 'mainstay%' AND NOT active`)
			return err == nil && out == "2|2", out + fmt.Sprint(err)
		}))
	}
}

func (s *subscriber) writes(t *testing.T, primary string, n int) {
	t.Helper()
	s.sql(t, primary, fmt.Sprintf("INSERT INTO public.outbox SELECT generate_series(%d, %d)", s.written+1, s.written+n))
	s.written += n
}

var decoded = regexp.MustCompile(`table public\.outbox: INSERT: n\[integer\]:(\d+)`)

// consume takes what there is, and gives up where the server makes it wait.
func (s *subscriber) consume(primary string) error {
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	out, err := s.SQL(ctx, primary, "postgres", "SELECT data FROM pg_logical_slot_get_changes('cdc', NULL, NULL)")
	for _, m := range decoded.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.Atoi(m[1])
		s.have[n] = true
	}
	return err
}

// hears writes, and waits until the subscriber has all that was ever written, and no more than the table has.
func (s *subscriber) hears(t *testing.T, n int) {
	t.Helper()
	p, err := s.WaitPrimary(s.ctx, "")
	s.check(t, err)
	s.writes(t, p, n)
	s.check(t, s.Wait(s.ctx, "all rows at the subscriber", func() (bool, string) {
		err := s.consume(p)
		return err == nil && len(s.have) >= s.written, fmt.Sprintf("%d of %d: %v", len(s.have), s.written, err)
	}))
	rows := strings.Fields(s.sql(t, p, "SELECT n FROM public.outbox ORDER BY n"))
	if len(rows) != s.written || len(s.have) != s.written {
		t.Fatalf("%d rows written, %d in the table, %d at the subscriber", s.written, len(rows), len(s.have))
	}
}
