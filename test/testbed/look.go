package testbed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// leaderlessLimit is for how long a question outlasts that there is no leader: a busy machine may change it at any moment.
const leaderlessLimit = 30 * time.Second

// do asks the leader, and asks again while there is none, for 30 s at most.
func (s *Testbed) do(ctx context.Context, method, path string, in, out any) error {
	for begun := time.Now(); ; {
		err := s.once(ctx, method, path, in, out)
		away := (*wire.UnreachableError)(nil)
		leaderless := errors.Is(err, wire.ErrNoLeader) || errors.As(err, &away)
		if !leaderless || time.Since(begun) > leaderlessLimit {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookPause):
		}
	}
}

func (s *Testbed) once(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return s.kept().Do(ctx, method, path, in, out)
}

// Status asks the leader.
func (s *Testbed) Status(ctx context.Context) (wire.Status, error) {
	var st wire.Status
	return st, s.do(ctx, http.MethodGet, "/v1/status", nil, &st)
}

// StatusNow is Status where it is an answer that there is no leader.
func (s *Testbed) StatusNow(ctx context.Context) (wire.Status, error) {
	var st wire.Status
	return st, s.once(ctx, http.MethodGet, "/v1/status", nil, &st)
}

// Cluster is the status of cluster feed.
func (s *Testbed) Cluster(ctx context.Context) (wire.ClusterState, error) {
	st, err := s.Status(ctx)
	if err != nil {
		return wire.ClusterState{}, err
	}
	for _, c := range st.Clusters {
		if c.Name == "feed" {
			return c, nil
		}
	}
	return wire.ClusterState{}, fmt.Errorf("status shows no cluster feed")
}

// WaitHealthy waits until cluster feed has an open primary and every other member streams from it and is in its set.
func (s *Testbed) WaitHealthy(ctx context.Context) error {
	return s.Wait(ctx, "a healthy cluster", func() (bool, string) { return s.Healthy(ctx) })
}

// Healthy looks once whether WaitHealthy would still have to wait, and why.
func (s *Testbed) Healthy(ctx context.Context) (bool, string) {
	c, err := s.Cluster(ctx)
	if err != nil {
		return false, err.Error()
	}
	return s.healthy(c)
}

// WaitPromises waits for what an agent owes that was started a moment ago: it lets its member be neither sealed nor promoted for
// a count-out, because it may have promised that before (L5).
func (s *Testbed) WaitPromises(ctx context.Context) error {
	lease := platform.DefaultLease
	for _, line := range s.Settings {
		if text, ok := strings.CutPrefix(line, "lease: "); ok {
			var err error
			if lease, err = time.ParseDuration(text); err != nil {
				return err
			}
		}
	}
	return s.Wait(ctx, "promises from before an agent's start to be over", func() (bool, string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Since(s.agent) > platform.CountOut(lease), ""
	})
}

func (s *Testbed) healthy(c wire.ClusterState) (bool, string) {
	if c.Primary == "" || !c.Opened {
		return false, "no open primary: " + c.Now
	}
	for _, m := range c.Members {
		switch {
		case m.Seen == nil || m.Age > 2*time.Second:
			return false, m.Name + " is not heard"
		case m.Name == c.Primary && (m.Seen.Role != health.RolePrimary || m.Seen.LeaseLeft <= 0 || m.Seen.Epoch != c.Epoch):
			return false, m.Name + " is not primary yet: " + m.Seen.Doing + m.Seen.Error
		case m.Name != c.Primary && (!m.Seen.Streams() || m.Seen.Timeline != c.Timeline):
			return false, fmt.Sprintf("%s does not stream (timeline %d): %s %s", m.Name, m.Seen.Timeline, m.Seen.Doing, m.Seen.Error)
		case !m.Seen.Guard.Complete:
			return false, m.Name + " is not guarded: " + strings.Join(m.Seen.Guard.Missing, ", ")
		}
	}
	if n := len(c.Sets); c.Acks > 0 && (n != 1 || len(c.Sets[0].Names) != s.acking(c)) {
		return false, fmt.Sprintf("durability sets are not settled: %v", c.Sets)
	}
	return true, ""
}

// acking counts the replicas for whose acknowledgements commits may wait.
func (s *Testbed) acking(c wire.ClusterState) (n int) {
	far := strings.Contains(strings.Join(s.Settings, "\n"), "from: other-site")
	for _, m := range c.Members {
		if m.Name != c.Primary && (!far || m.Site != s.Host(c.Primary).Site) && !strings.Contains(s.MemberLines[m.Name], "may-ack: false") {
			n++
		}
	}
	return n
}

// Ack says that the last automatic failover has been seen, so that the next one does not wait; none is as good. Whether it was
// committed is not known where leadership changes meanwhile: then it is asked once more.
func (s *Testbed) Ack(ctx context.Context) (err error) {
	waited := s.Wait(ctx, "the last failover to be acknowledged", func() (bool, string) {
		err = s.do(ctx, http.MethodPost, "/v1/clusters/feed/ack", nil, nil)
		refusal := (*wire.RefusalError)(nil)
		switch {
		case errors.As(err, &refusal) && refusal.Status == http.StatusConflict:
			err = nil
		case errors.As(err, &refusal) && refusal.Status == http.StatusGatewayTimeout:
			return false, err.Error()
		}
		return true, ""
	})
	return cmp.Or(waited, err)
}

// WaitPrimary waits until another member than not is the open primary, and returns its name.
func (s *Testbed) WaitPrimary(ctx context.Context, not string) (string, error) {
	primary := ""
	err := s.Wait(ctx, "a new primary", func() (bool, string) {
		c, err := s.Cluster(ctx)
		if err != nil {
			return false, err.Error()
		}
		primary = c.Primary
		return c.Primary != not && c.Opened, "primary is " + c.Primary + ", " + c.Now
	})
	return primary, err
}

// Leader is the name of the leading controller.
func (s *Testbed) Leader(ctx context.Context) (string, error) {
	st, err := s.Status(ctx)
	return st.Leader, err
}

// Last is the newest operation of cluster feed of a kind.
func (s *Testbed) Last(ctx context.Context, kind state.OperationKind) (state.Operation, error) {
	all, err := s.History(ctx)
	if err != nil {
		return state.Operation{}, err
	}
	var found *state.Operation
	for i := range all {
		if o := &all[i]; o.Kind == kind && (found == nil || number(o.ID) > number(found.ID)) {
			found = o
		}
	}
	if found == nil {
		return state.Operation{}, fmt.Errorf("history has no %s", kind)
	}
	return *found, nil
}

// History is the last operations of cluster feed.
func (s *Testbed) History(ctx context.Context) ([]state.Operation, error) {
	var h wire.HistoryAnswer
	err := s.do(ctx, http.MethodGet, "/v1/clusters/feed/history?limit=50", nil, &h)
	return h.Operations, err
}

func number(id string) (n int) {
	_, _ = fmt.Sscanf(id[strings.LastIndex(id, "-")+1:], "%d", &n)
	return n
}

// Application makes the sample app's database and role, and returns the DSN that finds the primary among all members.
func (s *Testbed) Application(ctx context.Context) (string, error) {
	err := s.Wait(ctx, "the application's role and database", func() (bool, string) { // on a busy machine the primary may just move
		c, err := s.Cluster(ctx)
		for _, create := range []string{"ROLE feed LOGIN PASSWORD 'feed'", "DATABASE feed OWNER feed"} {
			if err == nil {
				_, err = s.SQL(ctx, c.Primary, "postgres", "CREATE "+create)
			}
			if code := pgdial.SQLState(err); code == "42710" || code == "42P04" { // it is there
				err = nil
			}
		}
		return err == nil, fmt.Sprint(err)
	})
	return s.DSN(), err
}

// DSN names every member; the client takes the one that is writable. It has the keyword form: lib/pq 1.12.3 does not
// read ports in a URI with several hosts.
func (s *Testbed) DSN() string {
	var hosts []string
	for _, h := range s.Of(false) {
		hosts = append(hosts, h.Address)
	}
	return s.dsn(hosts)
}

func (s *Testbed) dsn(hosts []string) string {
	return "host=" + strings.Join(hosts, ",") +
		" port=5432 user=feed password=feed dbname=feed sslmode=require target_session_attrs=read-write"
}

// HostDSN reaches one member only.
func (s *Testbed) HostDSN(member string) string {
	return "host=" + s.Host(member).Address + " port=5432 user=feed password=feed dbname=feed sslmode=require"
}
