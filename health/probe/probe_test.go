package probe

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/pgdial"
	"mainstay/controller/postgres"
	"mainstay/fencing/program"
	"mainstay/health"
	"mainstay/test/kit"
)

const (
	every = 50 * time.Millisecond
	limit = 500 * time.Millisecond
)

func targetOf(i *postgres.Server) Target {
	return Target{Cluster: "feed", Member: i.Member, Host: "127.0.0.1", Port: i.Port, Every: every, Limit: limit}
}

// probing runs a prober on these targets until the test ends.
func probing(t *testing.T, store *identity.Store, targets ...Target) *Prober {
	t.Helper()
	p := New(store.ClientConfig(identity.RolePostgres, ""), program.Allowed{"/bin/sh"}, boottime.Now)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			kit.Check(t, err)
		case <-time.After(kit.Patience):
			t.Error("the prober does not end")
		}
	})
	p.Aim(targets)
	return p
}

// observation is the only one of the prober.
func observation(p *Prober) *health.Observation {
	v := p.Observations(boottime.Now(), limit/2)
	if len(v) != 1 {
		return &health.Observation{ProbedMS: -1}
	}
	return &v[0]
}

// TestHungPostmaster: a stopped postmaster still holds its port and its sessions; only a new connection tells.
func TestHungPostmaster(t *testing.T) {
	ca := newPKI(t)
	i := ca.primary()
	p := probing(t, ca.controller(), targetOf(i))
	kit.Eventually(t, "the first answer", func() bool { return observation(p).Probed(limit) })
	if v := observation(p); v.Role != health.RolePrimary || v.Saturated || v.Error != "" || v.Member != "feed-e1" || v.HeardMS != -1 {
		t.Fatalf("%+v", v)
	}
	pid, _, _ := i.Running()
	kit.Check(t, syscall.Kill(pid, syscall.SIGSTOP))
	stopped := time.Now()
	kit.Eventually(t, "a probe that is overdue", func() bool { return observation(p).FailedMS >= limit.Milliseconds()/2 })
	kit.Eventually(t, "a failed probe", func() bool { return observation(p).Error != "" })
	if took := time.Since(stopped); took > 3*limit {
		t.Errorf("noticed after %s, with a limit of %s", took, limit)
	}
	if v := observation(p); v.Role != health.RoleUnknown {
		t.Errorf("%+v", v)
	}
	kit.Eventually(t, "the answer to grow old", func() bool { return !observation(p).Probed(2 * limit) })
	kit.Check(t, syscall.Kill(pid, syscall.SIGCONT))
	kit.Eventually(t, "an answer", func() bool {
		return observation(p).Probed(limit) && observation(p).Role == health.RolePrimary && observation(p).FailedMS < limit.Milliseconds()/2
	})
}

func TestSaturated(t *testing.T) {
	ca := newPKI(t)
	i := ca.primary()
	ctx, cancel := context.WithTimeout(context.Background(), kit.Patience)
	defer cancel()
	db, err := pgdial.Open(i.Local())
	kit.Check(t, err)
	defer db.Close()
	var held []*sql.Conn
	for err == nil { // as the superuser, so that the reserved slots go as well
		var c *sql.Conn
		if c, err = db.Conn(ctx); err == nil {
			held = append(held, c)
		}
	}
	if pgdial.SQLState(err) != pgdial.TooManyConnections {
		t.Fatal(err)
	}
	p := probing(t, ca.controller(), targetOf(i))
	kit.Eventually(t, "a refusal", func() bool { return observation(p).Saturated })
	if v := observation(p); v.ProbedMS < 0 || v.FailedMS != 0 || v.Role != health.RoleUnknown || v.Error == "" {
		t.Errorf("%+v", v)
	}
	for _, c := range held {
		c.Close()
	}
	kit.Check(t, db.Close())
	kit.Eventually(t, "an answer", func() bool { v := observation(p); return v.ProbedMS >= 0 && !v.Saturated })
}

// TestProbeCallsNoFunctionOfAUser: a shadow of PostgreSQL's function on the path that sessions get says that it is a standby.
func TestProbeCallsNoFunctionOfAUser(t *testing.T) {
	ca := newPKI(t)
	i := ca.primary()
	db, err := pgdial.Open(i.Local())
	kit.Check(t, err)
	defer db.Close()
	for _, statement := range []string{"ALTER DATABASE postgres SET search_path = public, pg_catalog",
		"CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'"} {
		_, err := db.Exec(statement)
		kit.Check(t, err)
	}
	p := probing(t, ca.controller(), targetOf(i))
	kit.Eventually(t, "an answer", func() bool { return observation(p).Probed(limit) })
	if v := observation(p); v.Role != health.RolePrimary {
		t.Errorf("%+v", v)
	}
}

// TestTurnedAway: a server that refuses is alive; repeated probes must not fill its log.
func TestTurnedAway(t *testing.T) {
	ca := newPKI(t)
	i := ca.primary()
	for name, store := range map[string]*identity.Store{
		"no controller": ca.Store(identity.RoleViewer, "victor"), "another authority": newPKI(t).controller(),
	} {
		t.Run(name, func(t *testing.T) {
			before := refusals(t, i)
			p := probing(t, store, targetOf(i))
			kit.Eventually(t, "an answer", func() bool { return observation(p).Probed(limit) })
			first := observation(p)
			if first.Role != health.RoleUnknown || first.Error != "" {
				t.Errorf("%+v", first)
			}
			again := time.Now().Add(20 * every)
			kit.Eventually(t, "twenty more", func() bool { return time.Now().After(again) })
			if v := observation(p); !v.Probed(limit) || v.Error != "" {
				t.Errorf("later %+v", v)
			}
			// Of more than twenty. The alert by which a probe knows a refusal is lost where the server's close overtakes it.
			if n := refusals(t, i) - before; n == 0 || n > 10 {
				log, _ := os.ReadFile(i.Log)
				t.Errorf("%d probes were refused:\n%s", n, log)
			}
		})
	}
}

// refusals are the probes that the server's log says were refused; how many lines it has for each depends on the version.
func refusals(t *testing.T, i *postgres.Server) int {
	log, err := os.ReadFile(i.Log)
	kit.Check(t, err)
	return bytes.Count(log, []byte("could not accept SSL connection")) + bytes.Count(log, []byte("certificate authentication failed"))
}

// TestForeignServersRole: a server whose certificate is not of this platform lives, and its role does not count.
func TestForeignServersRole(t *testing.T) {
	ca := newPKI(t)
	i := ca.primary()
	own := ca.controller().ClientConfig(identity.RolePostgres, "")
	strict := own.Clone()
	strict.VerifyConnection = newPKI(t).controller().ClientConfig(identity.RolePostgres, "").VerifyConnection
	p := New(strict, nil, boottime.Now)
	if a := p.ask(t.Context(), targetOf(i), false); !a.lives || a.refused || a.role != health.RoleUnknown {
		t.Errorf("%+v", a)
	}
	if a := New(own, nil, boottime.Now).ask(t.Context(), targetOf(i), false); a.role != health.RolePrimary {
		t.Errorf("our own: %+v", a)
	}
}

// TestAim: what is no longer a target is no longer probed or observed, and at another address nothing is known.
func TestAim(t *testing.T) {
	gone := Target{Cluster: "feed", Member: "feed-e1", Host: "127.0.0.1", Port: kit.FreePort(t), Every: every, Limit: limit}
	p := probing(t, newPKI(t).controller(), gone)
	kit.Eventually(t, "a refusal", func() bool { return strings.Contains(observation(p).Error, "refused") })
	if v := observation(p); v.ProbedMS != -1 {
		t.Errorf("%+v", v)
	}
	moved := gone
	moved.Port, moved.Every = kit.FreePort(t), time.Hour
	other := moved
	other.Member = "feed-e2"
	p.Aim([]Target{other, moved})
	kit.Eventually(t, "both", func() bool { return len(p.Observations(0, limit)) == 2 })
	if v := p.Observations(0, limit); v[0].Member != "feed-e2" || v[1].Member != "feed-e1" {
		t.Errorf("%+v", v)
	}
	p.Aim(nil)
	kit.Eventually(t, "nobody", func() bool { return len(p.Observations(0, limit)) == 0 })
}

// TestSooner: a target that is asked rarely is asked at once when it must be asked often.
func TestSooner(t *testing.T) {
	var asked atomic.Int64
	r := newRounds(asker[Target, key, int]{
		now: boottime.Now, key: Target.key,
		every: func(t Target) time.Duration { return t.Every },
		slots: func(Target) chan struct{} { return make(chan struct{}, 1) },
		ask:   func(context.Context, Target, int) int { return int(asked.Add(1)) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx) }()
	defer func() { cancel(); <-done }()
	r.aim([]Target{{Every: time.Hour}})
	kit.Eventually(t, "the first question", func() bool { return asked.Load() == 1 })
	r.aim([]Target{{Every: time.Millisecond}})
	kit.Eventually(t, "more", func() bool { return asked.Load() > 3 })
}
