package state

import (
	"errors"
	"fmt"

	"mainstay/controller/platform"
)

// ErrPlatformMoved is returned when the platform has changed since the export that a new one was made from.
var ErrPlatformMoved = errors.New("the platform has changed since this file was exported; run `mainstay export` and make your change again")

// Init mints the platform's id and generation 1, once (S3).
type Init struct {
	PlatformID string `json:"platformID"`
}

func (s *State) applyInit(c *Init) error {
	if s.PlatformID != "" {
		return fmt.Errorf("these controllers are already initialised as platform %s; to start over, empty the data folder of every controller",
			s.PlatformID)
	}
	s.PlatformID, s.Generation = c.PlatformID, 1
	return nil
}

// SetPlatform stores a wanted platform. It was validated by controller/config.
type SetPlatform struct {
	Platform *platform.Platform `json:"platform"`
	// Base is the PlatformVersion that it was made from; 0 for any.
	Base uint64 `json:"base"`
	// Remove names the members and clusters that may be removed by it.
	Remove []string `json:"remove,omitempty"`
}

// CheckChange returns the reason why the change from the platform in force to next is not safe; remove names the members and
// clusters that may be removed. `apply` calls it before committing, and Apply calls it again.
func (s *State) CheckChange(next *platform.Platform, remove []string) error {
	if s.Platform == nil {
		return nil
	}
	if s.Platform.Name != next.Name {
		return fmt.Errorf("these controllers protect platform %q, but the file is for %q; use --context to reach the right ones",
			s.Platform.Name, next.Name)
	}
	for i := range s.Platform.Clusters {
		if err := s.checkCluster(&s.Platform.Clusters[i], next, remove); err != nil {
			return err
		}
	}
	return errors.Join(s.checkNames(next), s.checkHosts(next))
}

func (s *State) checkCluster(old *platform.Cluster, next *platform.Platform, remove []string) error {
	cl := next.Cluster(old.Name)
	if cl == nil {
		return s.checkClusterRemoval(old, remove)
	}
	bootstrapped := s.Clusters[old.Name] != nil && s.Clusters[old.Name].Primary != ""
	for _, m := range old.Members {
		now := cl.Member(m.Name)
		if now == nil {
			if err := s.checkMemberRemoval(old, cl, next, m, remove); err != nil {
				return err
			}
			continue
		}
		if bootstrapped && (now.Host != m.Host || now.Port != m.Port) {
			return fmt.Errorf("cluster %s: member %s cannot move from %s:%d to %s:%d; add a new member instead",
				old.Name, m.Name, m.Host, m.Port, now.Host, now.Port)
		}
	}
	return nil
}

func (s *State) applyPlatform(cmd Command) error {
	c := cmd.Platform
	if s.PlatformID == "" {
		return errors.New("the controllers are not initialised; run `mainstay controllers init`")
	}
	if c.Platform == nil {
		return errors.New("the command has no platform")
	}
	if c.Base != 0 && c.Base != s.PlatformVersion {
		return ErrPlatformMoved
	}
	if s.Change != nil {
		return fmt.Errorf("site switchover %s is running; apply when it has ended", s.Change.ID)
	}
	if err := s.CheckChange(c.Platform, c.Remove); err != nil {
		return err
	}
	s.PlatformVersion++
	s.endReleases(c.Platform)
	s.setPlatform(c.Platform, cmd.At)
	for i := range c.Platform.Clusters {
		s.putCluster(s.configured(&c.Platform.Clusters[i]))
	}
	s.configureApps(c.Platform)
	return nil
}

// configured is the cluster's state under a new configuration. A longer lease applies from here on, before any agent is granted
// it; a shorter one waits for LeaseCounted (L4).
func (s *State) configured(conf *platform.Cluster) *Cluster {
	cl := &Cluster{Name: conf.Name}
	if old := s.Clusters[conf.Name]; old != nil {
		cl = old.clone()
	}
	cl.Version++
	cl.LongestLease = max(cl.LongestLease, conf.Lease)
	if cl.Members == nil {
		cl.Members = map[string]*Member{}
	}
	for _, m := range conf.Members {
		if cl.Members[m.Name] == nil {
			cl.Members[m.Name] = &Member{Incarnation: cl.incarnate(m.Name), KnownToPrimary: cl.Primary == ""}
		}
	}
	return cl
}

// incarnate mints a name for a member's next data. The longest member name has 41 bytes, a name at most 63.
func (c *Cluster) incarnate(member string) string {
	c.HighIncarnation++
	return fmt.Sprintf("%s_%d", member, c.HighIncarnation)
}

// AgentRun records which run of an agent speaks for a host: the first that reported, or a later one after the former had been silent
// for longer than any lease (L8).
type AgentRun struct {
	Host string `json:"host"`
	Run  string `json:"run"`
	// Older: its disk does not know the former run: it is that of a copied machine, or was restored from a backup or a snapshot.
	Older bool `json:"older,omitempty"`
}

func (s *State) applyAgentRun(cmd Command) {
	b := cmd.AgentRun
	if b.Older && s.Platform != nil {
		for i := range s.Platform.Clusters {
			s.returnedOlder(&s.Platform.Clusters[i], cmd)
		}
	}
	runs := make(map[string]string, len(s.Runs)+1)
	for h, r := range s.Runs {
		runs[h] = r
	}
	runs[b.Host] = b.Run
	s.Runs = runs
}
