package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mainstay/fencing/guard"
)

// askLimit bounds one question to a guard or a controller.
const askLimit = time.Second

// watch looks at a platform again and again.
type watch struct {
	b       *bench
	primary string          // at the last look that was answered
	leader  string          // the same; "" before the first
	kills   map[string]bool // each by its member and epoch
	terms   uint64          // Raft's term at the beginning
}

// until looks until a moment, or until ctx ends, which is its error.
func (w *watch) until(ctx context.Context, end time.Time, q *quiet) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for time.Now().Before(end) {
		w.look(ctx, q)
		select {
		case <-ctx.Done():
			return fmt.Errorf("ended early: %w", ctx.Err())
		case <-tick.C:
		}
	}
	w.look(ctx, q)
	return nil
}

func (w *watch) look(ctx context.Context, q *quiet) {
	for _, kill := range w.b.kills() {
		w.kills[kill] = true
	}
	q.Looks++
	st, err := w.b.StatusNow(ctx)
	if err != nil || len(st.Clusters) == 0 {
		q.Unanswered++
		return
	}
	if w.leader != "" && st.Leader != w.leader {
		q.LeaderChanges++
	}
	if now := st.Clusters[0].Primary; now != w.primary {
		q.PrimaryChanges++
		w.primary = now
	}
	w.leader = st.Leader
}

// kills are those of every guard that lives: both of a member kill together, and count as one.
func (b *bench) kills() (found []string) {
	for _, h := range b.Of(false) {
		for _, slot := range []string{"a", "b"} {
			path := filepath.Join(b.Dir, "agent-"+h.Name, "run", h.Member+".guard", "guard-"+slot+".sock")
			if r, err := askGuard(path); err == nil && r.Kill != nil {
				found = append(found, h.Member+" "+r.Kill.Epoch)
				break
			}
		}
	}
	return found
}

// askGuard asks a guard how it is, which changes nothing for it.
func askGuard(path string) (guard.Report, error) {
	conn, err := net.DialTimeout("unix", path, askLimit)
	if err != nil {
		return guard.Report{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(askLimit))
	if _, err := io.WriteString(conn, `{"id":1,"op":"status"}`+"\n"); err != nil {
		return guard.Report{}, err
	}
	var r guard.Report
	return r, json.NewDecoder(conn).Decode(&r)
}

// term is the highest term of Raft that a controller shows; 0 if none answers.
func (b *bench) term(ctx context.Context) (highest uint64) {
	ctx, cancel := context.WithTimeout(ctx, 5*askLimit)
	defer cancel()
	for _, h := range b.Of(true) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(h.Address, "9101")+"/metrics", nil)
		if err != nil {
			continue
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		highest = max(highest, termOf(resp.Body))
		resp.Body.Close()
	}
	return highest
}

// termOf finds the term in the text of /metrics; 0 if it has none.
func termOf(metrics io.Reader) uint64 {
	for lines := bufio.NewScanner(metrics); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), "mainstay_raft_term "); found {
			f, _ := strconv.ParseFloat(value, 64)
			return uint64(f)
		}
	}
	return 0
}
