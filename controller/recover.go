package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/consensus"
	"mainstay/controller/identity"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// Recovery describes a stopped controller's data, and how it continues when the majority was lost for good.
type Recovery struct {
	Controller string   `json:"controller"`
	Platform   string   `json:"platform"`
	PlatformID string   `json:"platformID"`
	Generation uint64   `json:"generation"` // the new one
	Index      uint64   `json:"index"`      // of the last entry of its log
	Last       string   `json:"last"`       // time of the last step of the last operation that it knows of, RFC 3339; "" for none
	Lost       []string `json:"lost"`       // the other controllers that it knows
	Clusters   []RecoveredCluster
	Done       bool `json:"done"` // the recovery was done, not only planned
}

// RecoveredCluster is a cluster as the controller knows it.
type RecoveredCluster struct {
	Name    string `json:"name"`
	Primary string `json:"primary"` // "" before bootstrap
	Site    string `json:"site"`
	Epoch   string `json:"epoch"`
}

// recovering is a machine whose snapshot is the state with which the group continues.
type recovering struct {
	*machine
	next func(*state.State) *state.State
}

// Snapshot implements consensus.Machine.
func (r recovering) Snapshot() func() ([]byte, error) {
	s := r.next(r.State())
	return func() ([]byte, error) { return state.EncodeSnapshot(s) }
}

// Recover makes the stopped controller of cfg the only controller of its platform, in a new generation (S3). With dry it only says
// what it would do. Run it on the controller's own host, as its own user; after an interruption, run it again. It is refused while
// another controller answers.
func Recover(ctx context.Context, cfg config.Controller, by, reason string, dry bool) (Recovery, error) {
	if err := ownFolder(cfg.Data); err != nil {
		return Recovery{}, err
	}
	o := consensus.Options{Dir: cfg.Data, Name: cfg.Name, Address: cfg.Advertise, Logger: zap.NewNop(), Memory: boottime.Memory(memoryName)}
	m := newMachine()
	m.applied = func(*state.State) {}
	survey, err := consensus.Look(o, m)
	if err != nil {
		return Recovery{}, mend(err, cfg)
	}
	r := recoveryOf(cfg, m.State(), survey)
	known, err := readHeard(cfg.Data)
	if err != nil {
		return r, err
	}
	r.Generation = max(r.Generation, known+1)
	if m.State().PlatformID == "" {
		return r, fmt.Errorf("controller %s belongs to no platform, so there is nothing to recover; begin one with `mainstay controllers init`",
			cfg.Name)
	}
	if err := othersGone(ctx, cfg, survey.Servers); err != nil || dry {
		return r, err
	}
	again := newMachine()
	again.applied = func(*state.State) {}
	mark := rand.Text()[:8]
	at := time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	_, err = consensus.Recover(o, recovering{again, func(s *state.State) *state.State {
		return state.Recovered(s, r.Lost, r.Generation-1, mark, by, reason, at)
	}})
	r.Done = err == nil
	return r, mend(err, cfg)
}

// othersGone refuses if another controller answers. That one may have been recovered itself: two groups of one generation would not know of
// each other, and each would promote members on its own (S1).
func othersGone(ctx context.Context, cfg config.Controller, servers []consensus.Server) error {
	store, err := identity.Load(identity.Files{CA: cfg.TLS.CA, Cert: cfg.TLS.Cert, Key: cfg.TLS.Key})
	if err != nil {
		return err
	}
	client := wire.NewClient(nil, store.ClientConfig(identity.RoleController, "", identity.ProtoHTTP))
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answers := make([]string, len(servers))
	var all sync.WaitGroup
	for i, s := range servers {
		if s.Name == cfg.Name {
			continue
		}
		all.Go(func() {
			var id wire.Identity
			if client.DoAt(ctx, s.Address, http.MethodGet, "/v1/controller", nil, &id) == nil {
				answers[i] = fmt.Sprintf("controller %s answers at %s", id.Name, s.Address)
			}
		})
	}
	all.Wait()
	answers = slices.DeleteFunc(answers, func(a string) bool { return a == "" })
	switch {
	case len(answers) == 0:
		return nil
	case 2*(len(answers)+1) > len(servers):
		return fmt.Errorf("%s: with this one that is a majority; start this one again instead (`systemctl start mainstay-controller`)",
			strings.Join(answers, ", "))
	}
	return fmt.Errorf("%s: stop it for good before you recover this one; only one may be recovered, and the others rejoin under new names, "+
		"with empty data folders",
		strings.Join(answers, ", "))
}

// mend is the remedy for a controller that still runs, and for one whose folder cannot be trusted: no majority is left that could give it
// the state again.
func mend(err error, cfg config.Controller) error {
	var store *consensus.StoreError
	switch {
	case errors.Is(err, consensus.ErrInUse):
		return fmt.Errorf("controller %s runs; stop it first (`systemctl stop mainstay-controller`): %w", cfg.Name, err)
	case errors.As(err, &store):
		return fmt.Errorf("controller %s cannot continue alone: %s: %s; recover another remaining controller, on its host",
			cfg.Name, store.Path, store.Problem)
	}
	return err
}

// ownFolder refuses to run as another user than the folder's, because the controller could not read that user's files afterwards.
func ownFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the controller's folder: %w; check data: in its file", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	name := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Errorf("%s belongs to %s: run this as that user (`sudo -u %s mainstay controllers recover ...`)", dir, name, name)
}

func recoveryOf(cfg config.Controller, s *state.State, survey consensus.Survey) Recovery {
	r := Recovery{Controller: cfg.Name, Platform: s.PlatformID, PlatformID: s.PlatformID, Generation: s.Generation + 1, Index: survey.Index,
		Lost: []string{}, Clusters: []RecoveredCluster{}}
	for _, other := range survey.Servers {
		if other.Name != cfg.Name {
			r.Lost = append(r.Lost, other.Name)
		}
	}
	if s.Platform != nil { // if no platform was applied, the operator types the platform's id
		r.Platform = s.Platform.Name
	}
	for _, name := range s.ClusterNames() {
		c := s.Clusters[name]
		out := RecoveredCluster{Name: name, Primary: c.Primary, Epoch: c.Epoch.String(), Site: s.PrimarySite(name)}
		for i := range c.Operations {
			if steps := c.Operations[i].Steps; len(steps) > 0 {
				r.Last = max(r.Last, steps[len(steps)-1].At)
			}
		}
		r.Clusters = append(r.Clusters, out)
	}
	return r
}
