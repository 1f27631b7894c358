package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/fencing/guard"
	"mainstay/fencing/process"
)

const (
	// sweepBound bounds a sweep of all members of a host.
	sweepBound = 10 * time.Second
	// killBound is how long the processes of one member may take to end once they are killed.
	killBound = 5 * time.Second
)

// Swept is the result of a sweep for one member; members with nothing to do have none.
type Swept struct {
	Member string
	Killed []int // processes that were found; all have ended unless Err says otherwise
	Err    error
}

func (s Swept) String() string {
	var did []string
	if len(s.Killed) > 0 {
		did = append(did, fmt.Sprintf("PostgreSQL ran without any guard: killed its processes %v", s.Killed))
	}
	if s.Err != nil {
		did = append(did, s.Err.Error())
	}
	return s.Member + ": " + strings.Join(did, "; ")
}

// Sweep ends the PostgreSQL of every member of this host that Mainstay manages and that has no living guard (L2). The service manager
// runs it after the agent's end, since agent and guards may have been killed together; a starting agent does the same. It is refused
// while an agent runs. It never touches a member that was not adopted or created yet.
func Sweep(ctx context.Context, cfg config.Agent) ([]Swept, error) {
	h, err := openHome(cfg.Data, zap.NewNop())
	if err != nil {
		return nil, err
	}
	defer h.close()
	return h.sweep(ctx, cfg), nil
}

// sweep checks all members side by side. One whose disk hangs is abandoned at the bound, and delays no other.
func (h home) sweep(ctx context.Context, cfg config.Agent) []Swept {
	ctx, cancel := context.WithTimeout(ctx, sweepBound)
	defer cancel()
	names := h.known()
	done := make(chan Swept, len(names))
	for _, name := range names {
		go func() { done <- h.sweepMember(cfg, name) }()
	}
	var swept []Swept
	for waiting := slices.Clone(names); len(waiting) > 0; {
		select {
		case s := <-done:
			waiting = slices.DeleteFunc(waiting, func(name string) bool { return name == s.Member })
			if len(s.Killed) > 0 || s.Err != nil {
				swept = append(swept, s)
			}
		case <-ctx.Done():
			for _, name := range waiting {
				swept = append(swept, Swept{Member: name, Err: errors.New("not checked in time; does its disk hang?")})
			}
			return swept
		}
	}
	return swept
}

func (h home) sweepMember(cfg config.Agent, name string) Swept {
	s := Swept{Member: name}
	d, err := h.Durable(name)
	if err != nil || d.SystemID == "" {
		s.Err = err // no PostgreSQL of Mainstay's ever ran there
		return s
	}
	living, err := guard.Living(cfg.GuardDir(name))
	if err != nil || living {
		s.Err = err
		return s
	}
	s.Killed, s.Err = killLeft(cfg.DataDir(name), process.CgroupName(name, cfg.DataDir(name)))
	return s
}

// killLeft first ends the processes in the cgroups, which needs no disk, then the others of the data directory.
func killLeft(data, cgroup string) (killed []int, err error) {
	groups, err := process.Find(cgroup)
	if errors.As(err, new(*process.UnavailableError)) {
		err = nil
	}
	for _, c := range groups {
		pids, listErr := c.Pids()
		killed = append(killed, pids...)
		if len(pids) > 0 || listErr != nil {
			err = errors.Join(err, listErr, c.Kill())
		}
	}
	if _, statErr := os.Stat(data); errors.Is(statErr, os.ErrNotExist) {
		return killed, err
	}
	for _, c := range append(groups, nil) {
		tree, treeErr := process.NewTree(data, c)
		if treeErr != nil {
			err = errors.Join(err, treeErr)
			continue
		}
		pids, _ := tree.Pids() // Kill searches again
		killed = append(killed, pids...)
		if len(pids) > 0 || len(killed) > 0 {
			err = errors.Join(err, tree.Kill(killBound))
		}
	}
	slices.Sort(killed)
	return slices.Compact(killed), err
}
