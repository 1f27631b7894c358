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

// sweepBound is how long a sweep of all members of a host takes at most.
const sweepBound = 10 * time.Second

// Swept is what a sweep did with one member; a member with nothing to do has none.
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

// Sweep ends the PostgreSQL of every member of this host that is Mainstay's and that no living guard looks after (L2). The
// service manager runs it after the agent's end, when all may have been killed at once; an agent that starts does the
// same. It is refused while an agent runs. It never touches a member that was not taken in yet.
func Sweep(ctx context.Context, cfg config.Agent) ([]Swept, error) {
	h, err := openHome(cfg.Data, zap.NewNop())
	if err != nil {
		return nil, err
	}
	defer h.close()
	return h.sweep(ctx, cfg), nil
}

// sweep looks at all members side by side. One whose disk hangs is left behind at the bound, and holds up nobody else.
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
	d, err := h.durable(name)
	if err != nil || d.SystemID == "" {
		s.Err = err // nothing that was ever ours runs there
		return s
	}
	living, err := guard.Living(guardDir(cfg, name))
	if err != nil || living {
		s.Err = err
		return s
	}
	s.Killed, s.Err = killLeft(dataDir(cfg, name), process.CgroupName(name, dataDir(cfg, name)))
	return s
}

// killLeft ends what lives in the cgroups first, which needs no disk, then what else belongs to the data directory.
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
		pids, _ := tree.Pids() // Kill looks again
		killed = append(killed, pids...)
		if len(pids) > 0 || len(killed) > 0 {
			err = errors.Join(err, tree.Kill(killBound))
		}
	}
	slices.Sort(killed)
	return slices.Compact(killed), err
}
