package postgres

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/platform"
)

// TestFailover walks the whole way: initialise, start, roles, clone, stream, seal, position, promote over a timeline gap,
// history; then the crashed old primary is counted, kept, rewound and streams again.
func TestFailover(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, settings := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)

	sa, err := a.Status(ctx)
	check(t, err)
	if sa.InRecovery || sa.Timeline != 1 || sa.Flush == 0 || len(sa.Senders) != 1 || sa.Senders[0].Name != "feed-e2" ||
		len(sa.Slots) != 1 || !sa.Slots[0].Active || sa.Demanded["max_connections"] == 0 || sa.Damage != "" {
		t.Fatalf("status of the primary: %+v", sa)
	}
	sb, err := b.Status(ctx)
	check(t, err)
	if !sb.InRecovery || sb.Timeline != 1 || sb.Receive == 0 || sb.SystemID != sa.SystemID || sb.Receiver.Slot != "mainstay_feed_e2" ||
		sb.PauseState != "not paused" || sb.Receiver.AgeMS < 0 || !sameFile(sb.ConnInfoFile, b.managedFile()) {
		t.Fatalf("status of the standby: %+v", sb)
	}
	writeProbe(t, a)
	// What a seal finds may end in the middle of a record, which a promotion leaves out; here the fork is to be where it was sealed.
	eventually(t, "the standby to have received it all", func() bool { return must(b.Status(ctx)).Receive == must(a.Status(ctx)).Flush })
	pid, _, _ := a.Running()
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	check(t, err)
	if !strings.Contains(string(environment), oomOfBackends+"\x00") {
		t.Errorf("backends keep the postmaster's place before the OOM killer: %q", environment)
	}

	sealed, _, err := b.Seal(ctx, settings)
	check(t, err)
	insert(t, a, 2) // lost by design: asynchronous, after the seal
	writeProbe(t, a)
	p, err := b.Position(ctx)
	check(t, err)
	if p != sealed {
		t.Errorf("sealed at %+v, later at %+v", sealed, p)
	}
	if !p.Known || p.LSN < sb.Receive || p.Timeline != 1 {
		t.Fatalf("position %+v, received %s before", p, sb.Receive)
	}
	check(t, b.with(ctx, func(c *sql.Conn) error {
		left, err := b.receivers(ctx, c)
		if len(left) > 0 {
			t.Error("a receiver runs after the seal")
		}
		return err
	}))

	promoteTo(t, b, settings, 5)
	insert(t, b, 3)

	_, crashed := mustStatus(t, a), killed(t, a)
	if crashed.Clean() {
		t.Fatal("a killed primary looks clean")
	}
	history, err := b.ReadHistory(ctx, 5)
	check(t, err)
	fork, ok := history.ForkOf(1)
	if !ok || fork != p.LSN {
		t.Fatalf("history %v does not fork from timeline 1 at %s", history, p.LSN)
	}
	keepAndRewind(t, a, b, fork)
}

func mustStatus(t *testing.T, i *Server) Status {
	t.Helper()
	s, err := i.Status(testContext(t))
	check(t, err)
	return s
}

func killed(t *testing.T, i *Server) Control {
	t.Helper()
	kill(t, i)
	c, err := i.ControlData(testContext(t))
	check(t, err)
	return c
}

func promoteTo(t *testing.T, i *Server, s Settings, want platform.Timeline) {
	t.Helper()
	ctx := testContext(t)
	armed := false
	_, err := i.Promote(ctx, Promotion{Settings: s, Timeline: want, Arm: func() error { armed = true; return nil }})
	check(t, err)
	if _, err := i.Open(ctx, want+1, true); err == nil {
		t.Error("opened on another timeline than its epoch's")
	}
	_, err = i.Open(ctx, want, true)
	check(t, err)
	st := mustStatus(t, i)
	if !armed || st.Timeline != want || st.CheckpointTimeline != want {
		t.Fatalf("promoted to timeline %d (checkpoint %d), wanted %d; armed: %v", st.Timeline, st.CheckpointTimeline, want, armed)
	}
	raw, err := os.ReadFile(i.wal().historyFile(want - 1))
	check(t, err)
	if string(raw) != reserved {
		t.Fatalf("history of the gap: %q", raw)
	}
}

func keepAndRewind(t *testing.T, a, b *Server, fork platform.LSN) {
	t.Helper()
	ctx := testContext(t)
	end, err := a.EndOfWAL(ctx)
	check(t, err)
	d, err := a.CountWAL(ctx, 1, fork)
	check(t, err)
	if d.Transactions != 2 || d.To != end.LSN || !end.Known || d.Bytes <= 0 {
		t.Fatalf("to discard: %+v, end of WAL %+v", d, end)
	}
	kept := filepath.Join(filepath.Dir(a.Conf), "kept")
	check(t, a.KeepWAL(ctx, kept, d, []byte("{}")))
	files, err := os.ReadDir(kept)
	check(t, err)
	if len(files) < 3 || !exists(filepath.Join(kept, "manifest.json")) || !exists(filepath.Join(kept, RecordFile)) {
		t.Fatalf("kept %v", files)
	}
	// The copy tells by itself what was lost.
	list, total, err := a.Transactions(ctx, kept, d, 1)
	check(t, err)
	if total != d.Transactions || len(list) != 1 || list[0].XID == 0 || !strings.Contains(list[0].Committed, "UTC") || list[0].Relations == 0 {
		t.Fatalf("%d transactions: %+v", total, list)
	}
	if _, _, err := a.Transactions(ctx, filepath.Dir(kept), d, 1); err == nil {
		t.Fatal("a folder without WAL holds no error")
	}

	check(t, b.EnsureSlots(ctx, []string{SlotName(a.Member)}, nil))
	follow(t, a, b)
	mine := filepath.Join(a.Data, "pg_hba.conf")
	before, err := os.ReadFile(mine)
	check(t, err)
	before = append(before, "# this host's own\n"...)
	check(t, os.WriteFile(mine, before, 0o600))
	check(t, a.Rewind(testContext(t), b.source(), StartOptions{}))
	if now, err := os.ReadFile(mine); err != nil || string(now) != string(before) {
		t.Errorf("the rewind changed this host's pg_hba.conf (%v):\n%s", err, now)
	}
	data, err := a.InspectData(ctx)
	check(t, err)
	if !data.StandbySignal || data.Rewinding {
		t.Fatalf("after the rewind: %+v", data)
	}
	start(t, a, false)
	streams(t, a)
	eventually(t, "the new row", func() bool { return rows(t, a, 3) == 1 })
	if rows(t, a, 1) != 1 || rows(t, a, 2) != 0 {
		t.Fatal("the rewound member does not hold what its primary holds")
	}
	if s := mustStatus(t, a); s.Timeline != 5 || !strings.Contains(s.ConnInfo, "application_name") {
		t.Fatalf("rewound member: %+v", s)
	}
}
