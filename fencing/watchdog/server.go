package watchdog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mainstay/fencing/guard"
)

// askWithin bounds the holder's wait for a guard's page and for a client's request.
const askWithin = time.Second

// listen replaces a socket that a former holder left; the caller holds the lock.
func listen(dir string) (*net.UnixListener, error) {
	path := socketPath(dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the holder's socket: %w", err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on the holder's socket: %w", err)
	}
	return ln, nil
}

func socketPath(dir string) string { return filepath.Join(dir, "holder.sock") }

// serve answers one wish per connection, one after the other. It runs as long as the process; the loop never waits for it.
func (h *holder) serve(ln *net.UnixListener) {
	for {
		conn, err := ln.AcceptUnix()
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		if peer, err := guard.PeerOf(conn); err == nil && guard.Trusted(peer) {
			h.answer(conn)
		}
		conn.Close()
	}
}

func (h *holder) answer(conn *net.UnixConn) {
	if conn.SetReadDeadline(time.Now().Add(askWithin)) != nil {
		return
	}
	line, err := bufio.NewReaderSize(conn, maxLine).ReadSlice('\n')
	if err != nil {
		return
	}
	var w Wish
	if err = json.Unmarshal(line, &w); err == nil {
		err = h.obey(w)
	}
	h.mu.Lock()
	r := reply{Status: h.status()}
	h.mu.Unlock()
	if err != nil {
		r.Error = err.Error()
	}
	guard.WriteLine(conn, r, askWithin)
}

// obey applies a wish. While guards cannot be watched, no device is started: they may be overdue.
func (h *holder) obey(w Wish) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(w.Guards)) {
		errs = append(errs, h.watch(name, w.Guards[name]))
	}
	err := errors.Join(errs...)
	h.mu.Lock()
	h.machine.want, h.machine.blind, h.machine.leaving = &w, err != nil, h.machine.leaving || w.Leave
	h.rouse()
	h.mu.Unlock()
	return err
}

// watch maps the pages of a member's guards, unless it has them. Only watch changes posts.
func (h *holder) watch(name string, g Guards) error {
	m := h.member(name)
	if g.PIDs != [2]int{} && m.pids() == g.PIDs {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	for i, slot := range []string{"a", "b"} {
		pid, err := guard.Listening(ctx, g.Dir, slot)
		if err != nil {
			return fmt.Errorf("watch the guards of %s: %w", name, err)
		}
		if pid == 0 || pid == m.pids()[i] {
			continue
		}
		duty, err := guard.OpenDutyPage(pid)
		if err != nil {
			return fmt.Errorf("watch the guards of %s: %w", name, err)
		}
		h.mu.Lock()
		m.posts[i].take(duty)
		h.mu.Unlock()
	}
	return nil
}

func (h *holder) member(name string) *member {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[name]
	if m == nil {
		m = &member{}
		h.members[name] = m
	}
	return m
}

func (h *holder) leave() {
	h.mu.Lock()
	h.machine.leaving = true
	h.rouse()
	h.mu.Unlock()
}
