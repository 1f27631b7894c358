package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/identity"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// vaulted is the API of a leader whose cluster has a plan of backups; what is submitted is applied.
type vaulted struct {
	Loop
	t    *testing.T
	s    *subject
	role string
	api  *API
}

func (v *vaulted) Snapshot(context.Context) (loop.Snapshot, error) { return v.s.snapshot, nil }
func (v *vaulted) State() *state.State                             { return v.s.snapshot.Input.State }
func (v *vaulted) Changed() <-chan struct{}                        { return nil }

func (v *vaulted) Submit(_ context.Context, cmd state.Command) error {
	next, err := state.Apply(v.State(), v.State().Index+1, cmd)
	if err != nil {
		return &RefusedError{err}
	}
	v.s.snapshot.Input.State = next
	return nil
}

// newVaulted has three backups: b1 good and old, b2 bad by a restore test, b3 good and new. The agent of m2 has both targets.
func newVaulted(t *testing.T) *vaulted {
	v := &vaulted{t: t, role: identity.RoleOperator}
	v.s = subjectWith(t, func(_, replica *health.Member) {
		replica.Backups = &health.Backups{Targets: []health.BackupTarget{{Name: "vault"}, {Name: "tape"}},
			Archive: &health.Archiving{Timeline: 1, Until: 0x3000000, Partial: 0x3000100}}
	})
	v.s.snapshot.Input.Wall = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	v.s.conf.Backup = &platform.BackupPlan{Targets: []string{"vault", "tape"}, Keep: 7, Every: 24 * time.Hour,
		Checks: []platform.BackupCheck{{Name: "posts", Database: "feed", SQL: "SELECT true"}}}
	receipts := []platform.BackupReceipt{{Target: "vault"}, {Target: "tape"}}
	test := []platform.RestoreTest{{Target: "vault", At: "2026-11-29T00:00:00Z", Good: true, Took: 90 * time.Second}}
	v.s.snapshot.Input.State.Backups = map[string]*state.Backups{"feed": {Version: 9, High: 3, Records: []platform.Backup{
		{ID: "feed-b1", Member: "m2", Verdict: platform.BackupGood, Start: 0x1000000, End: 0x1000100, Ended: "2026-11-28T00:00:00Z",
			Receipts: receipts, Tests: test, Engine: json.RawMessage(`{}`)},
		{ID: "feed-b2", Member: "m2", Verdict: platform.BackupBad, Evidence: "a page rots", Start: 0x1800000, End: 0x1800100,
			Ended: "2026-11-29T00:00:00Z", Receipts: receipts[:1]},
		{ID: "feed-b3", Member: "m2", Verdict: platform.BackupGood, Start: 0x2000000, End: 0x2000100, Ended: "2026-11-30T00:00:00Z",
			Receipts: receipts},
	}}}
	v.api = New(Options{Name: "c1", Loop: v, States: v, Logger: zap.NewNop(),
		Identify: func(*http.Request) (identity.ID, error) {
			return identity.ID{Platform: "social", Role: v.role, Name: "ann"}, nil
		}})
	return v
}

// asks makes a request; says is what a refusal says.
func (v *vaulted) asks(method, cluster, body string) (status int, a wire.OperationAnswer, says string) {
	v.t.Helper()
	w := httptest.NewRecorder()
	v.api.Handler().ServeHTTP(w, httptest.NewRequest(method, "/v1/clusters/"+cluster+"/backups", bytes.NewReader([]byte(body))))
	var e wire.Error
	into := any(&e)
	if w.Code == http.StatusOK {
		if into = &a; method == http.MethodGet {
			into = &wire.Backups{}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		v.t.Fatalf("%s: %v: %s", body, err, w.Body)
	}
	return w.Code, a, e.Message
}

func (v *vaulted) job() *platform.BackupJob { return v.State().BackupsOf("feed").Job }

// TestBackupRoles: a viewer reads the catalogue and begins nothing.
func TestBackupRoles(t *testing.T) {
	v := newVaulted(t)
	for _, c := range []struct {
		role, method string
		want         int
	}{
		{identity.RoleViewer, "GET", 200}, {identity.RoleOperator, "GET", 200}, {identity.RoleAgent, "GET", 403},
		{identity.RoleController, "GET", 403}, {identity.RoleViewer, "POST", 403}, {identity.RoleAgent, "POST", 403},
		{identity.RoleController, "POST", 403}, {identity.RoleOperator, "POST", 200},
	} {
		v.role = c.role
		if status, _, says := v.asks(c.method, "feed", `{"work": "make", "dryRun": true}`); status != c.want {
			t.Errorf("%s as %s: %d %s, want %d", c.method, c.role, status, says, c.want)
		}
	}
	if v.job() != nil {
		t.Errorf("a dry run has begun %+v", v.job())
	}
}

// TestBackupPlans: what each kind of work would do, for people, and which job it begins.
func TestBackupPlans(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		plan string // all of it must be said, in this order, "..." between
		job  platform.BackupJob
	}{
		"a backup": {`{"work": "make"}`, "m2 copies a full copy...answers 1 check...released to vault, tape",
			platform.BackupJob{Work: platform.BackupMake, Backup: "feed-b4"}},
		"a restore test of the newest, from the target that was not tested": {`{"work": "test"}`, "fetches feed-b3 from tape...copy is removed",
			platform.BackupJob{Work: platform.BackupTest, Backup: "feed-b3", Target: "tape"}},
		"a restore test of one that is bad": {`{"work": "test", "backup": "feed-b2", "target": "vault"}`, "fetches feed-b2 from vault",
			platform.BackupJob{Work: platform.BackupTest, Backup: "feed-b2", Target: "vault"}},
		"a removal": {`{"work": "remove", "backup": "feed-b1"}`, "feed-b1 is removed from vault, tape...WAL that only it needs",
			platform.BackupJob{Work: platform.BackupRemove, Backup: "feed-b1"}},
		"a restore": {`{"work": "restore"}`, "fetches feed-b3 (taken from m2, consistent at 0/2000100...replays to the end of the backup" +
			"...no member is touched...last restore (feed-b1 from vault) took 1m30s",
			platform.BackupJob{Work: platform.BackupRestore, Backup: "feed-b3", Target: "tape"}},
		"to the end of the archive": {`{"work": "restore", "until": {"latest": true}}`,
			"fetches feed-b3...all WAL of the archive (the archive holds WAL up to 0/3000100)",
			platform.BackupJob{Work: platform.BackupRestore, Backup: "feed-b3", Target: "tape", Until: platform.RestorePoint{Latest: true}}},
		"to an LSN before the newest": {`{"work": "restore", "until": {"lsn": "0/1900000"}, "target": "vault"}`,
			"fetches feed-b1...up to 0/1900000", platform.BackupJob{Work: platform.BackupRestore, Backup: "feed-b1", Target: "vault",
				Until: platform.RestorePoint{LSN: 0x1900000}}},
		"to a time before the newest": {`{"work": "restore", "until": {"time": "2026-11-29T10:00:00Z"}}`,
			"fetches feed-b1...the first commit after 2026-11-29T10:00:00Z",
			platform.BackupJob{Work: platform.BackupRestore, Backup: "feed-b1", Target: "tape",
				Until: platform.RestorePoint{Time: "2026-11-29T10:00:00Z"}}},
		"to a name": {`{"work": "restore", "until": {"name": "before"}}`, "fetches feed-b3...restore point before",
			platform.BackupJob{Work: platform.BackupRestore, Backup: "feed-b3", Target: "tape", Until: platform.RestorePoint{Name: "before"}}},
		"a bad one, by an operator's word": {`{"work": "restore", "backup": "feed-b2", "target": "vault", "accept": "it is all we have"}`,
			"fetches feed-b2", platform.BackupJob{Work: platform.BackupRestore, Backup: "feed-b2", Target: "vault", Accepted: "it is all we have"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVaulted(t)
			before := v.State()
			dry := strings.TrimSuffix(c.body, "}") + `, "dryRun": true}`
			status, planned, says := v.asks("POST", "feed", dry)
			if status != 200 || !planned.DryRun || v.State() != before {
				t.Fatalf("a dry run: %d %s, %+v", status, says, planned)
			}
			rest := strings.Join(planned.Plan, "\n")
			for part := range strings.SplitSeq(c.plan, "...") {
				_, after, found := strings.Cut(rest, part)
				if !found {
					t.Errorf("the plan lacks %q:\n%s", part, strings.Join(planned.Plan, "\n"))
				}
				rest = after
			}
			warned := strings.Contains(strings.Join(planned.Warnings, "\n"), "feed-b2 is bad: a page rots")
			if warned != strings.Contains(c.body, "accept") {
				t.Errorf("the warnings are %q", planned.Warnings)
			}
			status, a, says := v.asks("POST", "feed", c.body)
			j := v.job()
			if status != 200 || j == nil || a.Work != j.Number || a.Backup != j.Backup || a.Target != "m2" || a.DryRun {
				t.Fatalf("%d %s: %+v, the job is %+v", status, says, a, j)
			}
			got := *j
			got.Number, got.Since = 0, ""
			c.job.Member, c.job.By = "m2", "ann"
			if got != c.job || j.Number == 0 {
				t.Errorf("the job is %+v, want %+v", got, c.job)
			}
			if status, _, says := v.asks("POST", "feed", `{"work": "make"}`); status != 409 || !strings.Contains(says, "is running for cluster feed (by ann)") {
				t.Errorf("a second one: %d %s", status, says)
			}
		})
	}
}

// TestBackupRefusals: each says what to do instead, and begins nothing.
func TestBackupRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		cluster, body string
		change        func(*vaulted)
		status        int
		says          string
	}{
		"no such cluster": {"mail", `{"work": "make"}`, nil, 404, `no cluster "mail"`},
		"neither":         {"feed", `{}`, nil, 400, `one of the fields "work" and "cancel"`},
		"both":            {"feed", `{"work": "make", "cancel": true}`, nil, 400, `one of the fields "work" and "cancel"`},
		"no such work":    {"feed", `{"work": "sell"}`, nil, 400, `want make, test, remove or restore`},
		"no plan": {"feed", `{"work": "make"}`, func(v *vaulted) { v.s.conf.Backup = nil }, 409,
			"has no backup section in the platform file"},
		"no such member": {"feed", `{"work": "make", "member": "m9"}`, nil, 409, "m9: it is no member"},
		"a member without the targets": {"feed", `{"work": "make", "member": "m1"}`, nil, 409,
			"m1: target vault: its agent's file defines no target"},
		"nothing to cancel":   {"feed", `{"cancel": true}`, nil, 409, "nothing is running"},
		"no such backup":      {"feed", `{"work": "test", "backup": "feed-b9"}`, nil, 409, "there is no backup feed-b9 of cluster feed"},
		"the newest":          {"feed", `{"work": "remove", "backup": "feed-b3"}`, nil, 409, "is the newest good one"},
		"a bad one":           {"feed", `{"work": "restore", "backup": "feed-b2"}`, nil, 409, "feed-b2 is bad (a page rots)"},
		"not at that target":  {"feed", `{"work": "test", "backup": "feed-b2", "target": "tape"}`, nil, 409, "tape does not hold backup feed-b2"},
		"before all backups":  {"feed", `{"work": "restore", "until": {"lsn": "0/100"}}`, nil, 409, "complete before that point"},
		"before all, by time": {"feed", `{"work": "restore", "until": {"time": "2026-11-01T00:00:00Z"}}`, nil, 409, "complete before that point"},
		"two points":          {"feed", `{"work": "restore", "until": {"latest": true, "name": "before"}}`, nil, 400, "has 2 points: give one"},
		"a long name":         {"feed", `{"work": "restore", "until": {"name": "` + strings.Repeat("n", 64) + `"}}`, nil, 400, "at most 63 bytes"},
		"a name of two lines": {"feed", `{"work": "restore", "until": {"name": "a\nb"}}`, nil, 400, "no name of a restore point"},
		"no time":             {"feed", `{"work": "restore", "until": {"time": "noon"}}`, nil, 400, "want RFC 3339"},
		"no good backup": {"feed", `{"work": "restore"}`, func(v *vaulted) { v.s.snapshot.Input.State.Backups = nil }, 409,
			"feed has no good backup; run `mainstay backup run feed`"},
		"one that another is built on": {"feed", `{"work": "remove", "backup": "feed-b1"}`, func(v *vaulted) {
			v.State().Backups["feed"].Records[2].Base = "feed-b1"
		}, 409, "feed-b3 is built on feed-b1"},
		"one whose base is bad": {"feed", `{"work": "restore", "backup": "feed-b3"}`, func(v *vaulted) {
			v.State().Backups["feed"].Records[2].Base = "feed-b2"
		}, 409, "feed-b2 is bad (a page rots)"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVaulted(t)
			if c.change != nil {
				c.change(v)
			}
			before := v.State()
			for _, dry := range []string{c.body, strings.Replace(c.body, "{", `{"dryRun": true, `, 1)} {
				dry = strings.Replace(dry, ", }", "}", 1)
				if status, _, says := v.asks("POST", c.cluster, dry); status != c.status || !strings.Contains(says, c.says) {
					t.Errorf("%s: %d %s, want %d %q", dry, status, says, c.status, c.says)
				}
			}
			if v.State() != before {
				t.Errorf("the state has changed: %+v", v.job())
			}
		})
	}
}

// TestBackupCancel: what runs is cancelled once, and its record says so.
func TestBackupCancel(t *testing.T) {
	v := newVaulted(t)
	if status, _, says := v.asks("POST", "feed", `{"work": "make"}`); status != 200 {
		t.Fatal(status, says)
	}
	number := v.job().Number
	status, a, says := v.asks("POST", "feed", `{"cancel": true, "dryRun": true}`)
	if status != 200 || v.job().Cancel || len(a.Plan) != 1 ||
		!strings.Contains(a.Plan[0], "make of feed-b4 on m2 ends, and nothing is released") {
		t.Errorf("a dry run: %d %s %+v", status, says, a)
	}
	status, a, says = v.asks("POST", "feed", `{"cancel": true}`)
	if j := v.job(); status != 200 || j == nil || !j.Cancel || j.Number != number || a.Work != number {
		t.Errorf("%d %s %+v: %+v", status, says, a, j)
	}
}

// TestCatalogue: what people see of the catalogue has the progress of the agent that works, and how far the archive is, but not what the
// engine keeps.
func TestCatalogue(t *testing.T) {
	v := newVaulted(t)
	if status, _, says := v.asks("POST", "feed", `{"work": "test"}`); status != 200 {
		t.Fatal(status, says)
	}
	m := v.s.snapshot.Input.View.Member(v.s.conf.Member("m2"))
	m.Backups.Job = &health.BackupProgress{Number: v.job().Number, Step: "fetch", Percent: 40}
	v.s.snapshot.Last.Problems = []health.Problem{{Kind: health.BackupBad, Cluster: "feed", Evidence: "feed-b2"},
		{Kind: health.BackupBad, Cluster: "mail"}, {Kind: health.ReplicaMissing, Cluster: "feed"}}
	read := func() (b wire.Backups) {
		t.Helper()
		w := httptest.NewRecorder()
		v.api.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/clusters/feed/backups", nil))
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != 200 {
			t.Fatalf("%d %v: %s", w.Code, err, w.Body)
		}
		return b
	}
	b := read()
	if len(b.Backups) != 3 || b.Backups[0].Engine != nil || b.Progress == nil || b.Progress.Percent != 40 || b.Archiver != "m2" ||
		b.Archive == nil || b.Archive.Partial != 0x3000100 || len(b.Problems) != 1 || b.Plan == nil || b.Job == nil {
		t.Errorf("the catalogue is %+v", b)
	}
	if v.State().Backups["feed"].Records[0].Engine == nil {
		t.Error("the state has lost what the engine keeps")
	}
	m.Backups.Job.Number++ // of other work
	v.s.conf.Backup = nil
	if b := read(); b.Progress != nil || b.Archiver != "" || len(b.Backups) != 3 {
		t.Errorf("without a plan: %+v", b)
	}
}
