package state

import "fmt"

// FenceHost asks for a host's power to be cut by its fence devices: for an operator, or for an attempt without another proof.
// From here on no member of the host gets a lease or a goal.
type FenceHost struct {
	Host   string `json:"host"`
	Reason string `json:"reason"`
}

// HostFenced is the devices' result. Fence is the number of the fence that it answers, here and in HostUnfenced; 0 is from a
// version that did not number fences, and answers whichever there is.
type HostFenced struct {
	Host   string `json:"host"`
	Fence  uint64 `json:"fence,omitempty"`
	Off    bool   `json:"off"` // one level of devices has confirmed it
	Detail string `json:"detail"`
}

// UnfenceHost gives a fenced host its power back.
type UnfenceHost struct {
	Host   string `json:"host"`
	Reason string `json:"reason,omitempty"`
	// Withdraw ends an automatic fence that no device has confirmed, because the host answers.
	Withdraw bool `json:"withdraw,omitempty"`
}

// HostUnfenced is the devices' result. Once the host is on, its members get goals again.
type HostUnfenced struct {
	Host   string `json:"host"`
	Fence  uint64 `json:"fence,omitempty"`
	On     bool   `json:"on"`
	Detail string `json:"detail"`
}

// FencedOff returns the fence that denies a host goals and leases, or nil. A fence that was withdrawn before a device confirmed
// it bars nothing, although the devices still make sure that the power is on.
func (s *State) FencedOff(host string) *Fence {
	if f := s.Fences[host]; f != nil && (f.Off || !f.Release) {
		return f
	}
	return nil
}

// FenceOf returns the fence that bars a member's host, or nil.
func (s *State) FenceOf(cluster, member string) *Fence {
	if len(s.Fences) == 0 {
		return nil
	}
	conf := s.ClusterConfig(cluster)
	if conf == nil {
		return nil
	}
	if m := conf.Member(member); m != nil {
		return s.FencedOff(m.Host)
	}
	return nil
}

func (s *State) fenceOf(c *Cluster) *Fence { return s.FenceOf(c.Name, c.Primary) }

// FencedHosts lists the hosts that are fenced, in a fixed order.
func (s *State) FencedHosts() []string { return sortedKeys(s.Fences) }

// putFence replaces the fence of a host; nil removes it. The versions of the clusters there increase, so that their agents get
// new goals and no earlier decision is committed.
func (s *State) putFence(host string, f *Fence) {
	fences := make(map[string]*Fence, len(s.Fences)+1)
	for h, old := range s.Fences {
		fences[h] = old
	}
	if fences[host] = f; f == nil {
		delete(fences, host)
	}
	s.Fences = fences
	for _, name := range s.ClusterNames() {
		conf := s.ClusterConfig(name)
		if conf == nil {
			continue
		}
		for _, m := range conf.Members {
			if m.Host == host {
				cl := s.Clusters[name].clone()
				cl.Version++
				s.putCluster(cl)
				break
			}
		}
	}
}

func (s *State) applyFence(c Command) error {
	if s.Platform == nil || s.Platform.Host(c.Fence.Host) == nil {
		return fmt.Errorf("the platform has no host %s", c.Fence.Host)
	}
	if len(s.Platform.Host(c.Fence.Host).Fence) == 0 {
		return fmt.Errorf("host %s has no fence device; add one under `fence` in the platform file and run `mainstay apply`", c.Fence.Host)
	}
	if f := s.Fences[c.Fence.Host]; f != nil && !f.Release {
		return fmt.Errorf("host %s is already fenced, by %s: %s; run `mainstay unfence %s` to restore its power",
			c.Fence.Host, f.By, f.Reason, c.Fence.Host)
	}
	s.putFence(c.Fence.Host, &Fence{Number: s.Index, By: c.By, Reason: c.Fence.Reason, Since: c.At})
	return nil
}

func (s *State) applyFenced(c *HostFenced) error {
	f := s.Fences[c.Host]
	if f == nil || f.Release || f.Off {
		return fmt.Errorf("host %s is not being fenced", c.Host)
	}
	if err := f.answeredBy(c.Host, c.Fence); err != nil {
		return err
	}
	next := *f
	next.Off, next.Detail = c.Off, c.Detail
	s.putFence(c.Host, &next)
	return nil
}

// answeredBy refuses an answer to an earlier fence of the host: its power may be back since.
func (f *Fence) answeredBy(host string, number uint64) error {
	if number != 0 && f.Number != 0 && number != f.Number {
		return fmt.Errorf("host %s: the answer belongs to fence %d, but fence %d is in force", host, number, f.Number)
	}
	return nil
}

func (s *State) applyUnfence(c Command) error {
	f := s.Fences[c.Unfence.Host]
	if f == nil {
		return fmt.Errorf("host %s is not fenced; `mainstay status` lists the fenced hosts", c.Unfence.Host)
	}
	if c.Unfence.Withdraw {
		if f.Off || f.By != byMainstay {
			return fmt.Errorf("host %s: only an automatic fence that no device has confirmed can be withdrawn", c.Unfence.Host)
		}
	}
	next := *f
	next.Release, next.Detail = true, ""
	s.putFence(c.Unfence.Host, &next)
	return nil
}

func (s *State) applyUnfenced(c *HostUnfenced) error {
	f := s.Fences[c.Host]
	if f == nil || !f.Release {
		return fmt.Errorf("host %s is not being unfenced", c.Host)
	}
	if err := f.answeredBy(c.Host, c.Fence); err != nil {
		return err
	}
	if c.On {
		s.putFence(c.Host, nil)
		return nil
	}
	next := *f
	next.Detail = c.Detail
	s.putFence(c.Host, &next)
	return nil
}
