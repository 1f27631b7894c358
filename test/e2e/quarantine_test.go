package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/test/testbed"
)

// TestQuarantine: a primary dies with commits that nobody else has. When it is back, what its rewind left out is counted
// and kept (S9); an operator finds it, sees the commits in it, and drops it.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	quarantine(t, "")
}

func quarantine(t *testing.T, binaries string) {
	tr := begin(t, testbed.Options{Members: 2, Binaries: binaries})
	p := tr.primary(t)
	const lost = 7
	tr.loseCommits(t, p, lost)
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(tr.Host(p))...))
	tr.failedOver(t, p, fencing.LeaseExpired)
	tr.check(t, tr.StartAgent(tr.Host(p).Name))
	tr.healthy(t)

	piece := tr.onlyPiece(t, p)
	if piece.Member != p || piece.Cluster != "feed" || piece.How != wire.Rewound || piece.Was != "primary" || piece.Transactions < lost ||
		piece.Bytes != int64(piece.To-piece.From) || piece.Bytes == 0 || piece.Timeline != 1 || piece.Epoch.Number < 2 || piece.When == "" {
		t.Errorf("the record: %+v", piece)
	}
	if _, err := os.Stat(filepath.Join(piece.Place, "record.json")); err != nil {
		t.Error(err)
	}
	tr.check(t, tr.Wait(tr.ctx, "the history to have the return of "+p, func() (bool, string) {
		op, err := tr.Last(tr.ctx, state.Rejoin)
		return err == nil && op.To == p, fmt.Sprint(op, err)
	}))
	tr.says(t, 0, []string{"history", "feed"}, "left out WAL", piece.Place)
	tr.says(t, 0, []string{"member", "quarantine", "list", "feed"}, piece.ID, p, "rewind", piece.From.String()+".."+piece.To.String())
	tr.says(t, 0, []string{"member", "quarantine", "list", tr.primary(t)}, "nothing is kept")
	tr.says(t, 3, []string{"member", "quarantine", "list", "nobody"}, "there is no cluster or member nobody")
	tr.says(t, 0, []string{"member", "quarantine", "show", piece.ID}, piece.ID, "COMMITTED", "UTC", "was", "primary")
	shown := tr.shows(t, piece.ID)
	if len(shown.List) != piece.Transactions || shown.Note != "" {
		t.Errorf("%d transactions are shown (%s), %d are counted", len(shown.List), shown.Note, piece.Transactions)
	}
	tr.says(t, 3, []string{"member", "quarantine", "show", "feed-x_1-rewind"}, "no agent keeps feed-x_1-rewind")
	tr.says(t, 2, []string{"member", "quarantine", "drop", piece.ID}, "--reason is missing")
	tr.says(t, 3, []string{"member", "quarantine", "drop", piece.ID, "--reason", "test"}, "no terminal to confirm on")
	tr.says(t, 0, []string{"member", "quarantine", "drop", piece.ID, "--dry-run"}, "would destroy",
		strconv.Itoa(piece.Transactions)+" transactions", "nothing was changed")
	if again := tr.onlyPiece(t, p); again.ID != piece.ID {
		t.Errorf("now %+v", again)
	}
	tr.says(t, 0, []string{"member", "quarantine", "drop", piece.ID, "--yes", "--reason", "the test has seen enough"}, "dropped "+piece.ID)
	tr.says(t, 0, []string{"member", "quarantine", "list"}, "nothing is kept")
	if _, err := os.Stat(piece.Place); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", piece.Place, err)
	}
	log := tr.Logs(200)
	if !strings.Contains(log, "an operator drops quarantined data") || !strings.Contains(log, "the test has seen enough") {
		t.Error("the agent's log does not say who dropped it, and why")
	}
}

// loseCommits makes commits on a primary after its senders were frozen, so that no replica can have them.
func (tr *trial) loseCommits(t *testing.T, primary string, n int) {
	t.Helper()
	out, err := tr.SQL(tr.ctx, primary, "postgres", "SELECT pid FROM pg_stat_replication")
	tr.check(t, err)
	var senders []int
	for _, word := range strings.Fields(out) {
		pid, err := strconv.Atoi(word)
		tr.check(t, err)
		senders = append(senders, pid)
	}
	if len(senders) == 0 {
		t.Fatal("nobody replicates")
	}
	tr.check(t, testbed.Signal(syscall.SIGSTOP, senders...))
	for i := range n {
		_, err := tr.SQL(tr.ctx, primary, "postgres", "SET synchronous_commit = local; CREATE TABLE only_here_"+strconv.Itoa(i)+
			" AS SELECT generate_series(1, 100) AS id")
		tr.check(t, err)
	}
}

// onlyPiece waits until each agent has answered: on a busy machine one may be late.
func (tr *trial) onlyPiece(t *testing.T, member string) (piece wire.Piece) {
	t.Helper()
	tr.check(t, tr.Wait(tr.ctx, "one piece that is kept of "+member, func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "member", "quarantine", "list", member, "--output", "json")
		if err != nil {
			return false, fmt.Sprint(err, "\n", out)
		}
		var q render.Quarantine
		tr.check(t, json.Unmarshal([]byte(out), &q))
		var all []wire.Piece
		for _, a := range q.Agents {
			all = append(all, a.Quarantine.Pieces...)
		}
		if len(all) == 1 {
			piece = all[0]
		}
		return len(all) == 1, out
	}))
	return piece
}

func (tr *trial) shows(t *testing.T, id string) (a wire.PieceAnswer) {
	t.Helper()
	out, err := tr.CLI(tr.ctx, "member", "quarantine", "show", id, "--output", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tr.check(t, json.Unmarshal([]byte(out), &a))
	return a
}

// says runs the command and checks its exit code and words.
func (tr *trial) says(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	out, err := tr.CLI(tr.ctx, args...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		tr.check(t, err)
	}
	if got != code {
		t.Errorf("mainstay %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("mainstay %s does not say %q:\n%s", strings.Join(args, " "), w, out)
		}
	}
}
