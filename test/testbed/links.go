package testbed

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// Way is what one host sends to another. The test itself, with its clients, is the host Outside.
type Way struct{ From, To string }

// Outside is the test, as an end of a Way.
const Outside = ""

// Ways from each of some hosts to each of others; a host sends nothing to itself over the bridge.
func Ways(from, to []string) []Way {
	var ways []Way
	for _, f := range from {
		for _, t := range to {
			if f != t {
				ways = append(ways, Way{f, t})
			}
		}
	}
	return ways
}

// Both adds the way back to each of the ways.
func Both(ways []Way) []Way {
	for _, w := range slices.Clone(ways) {
		ways = append(ways, Way{w.To, w.From})
	}
	return ways
}

// Others are all ends but one, Outside among them.
func (w *Netns) Others(host string) []string {
	return slices.DeleteFunc(append(slices.Clone(w.hosts), Outside), func(h string) bool { return h == host })
}

// Cut takes a host off the network: all packets from and to it are lost silently.
func (w *Netns) Cut(host string) error {
	return w.CutWays(Both(Ways([]string{host}, w.Others(host)))...)
}

// Heal ends every cut that a host has part in. It may be called for a host that was not cut.
func (w *Netns) Heal(host string) error {
	return w.HealWays(Both(Ways([]string{host}, w.Others(host)))...)
}

// CutWays drops everything on these ways, from now on and for connections that there are.
func (w *Netns) CutWays(ways ...Way) error { return w.change("add", "cut", ways) }

// HealWays ends the cuts of these ways, of those that were cut.
func (w *Netns) HealWays(ways ...Way) error {
	return errors.Join(w.change("add", "cut", ways), w.change("delete", "cut", ways)) // a missing element cannot be deleted
}

// Lose drops one packet in lossOf on these ways, at random.
func (w *Netns) Lose(ways ...Way) error { return w.change("add", "loss", ways) }

// lossOf: Lose drops one packet in five, which slows every TCP connection and breaks none.
const lossOf = 5

// HealAll ends all cuts and losses.
func (w *Netns) HealAll() error {
	return nft(fmt.Sprintf("flush set bridge %[1]s cut\nflush set bridge %[1]s loss\n", w.bridge()))
}

// filter makes the table that drops. Packets from a port of the bridge pass prerouting, packets of the test pass
// output; ARP is dropped too, as a cable would.
func (w *Netns) filter() error {
	rules := fmt.Sprintf(`ip saddr . ip daddr @cut drop
		arp saddr ip . arp daddr ip @cut drop
		ip saddr . ip daddr @loss numgen random mod %d == 0 drop`, lossOf)
	return nft(fmt.Sprintf(`table bridge %s {
	set cut { type ipv4_addr . ipv4_addr; }
	set loss { type ipv4_addr . ipv4_addr; }
	chain hosts { type filter hook prerouting priority 0; %[2]s
	}
	chain outside { type filter hook output priority 0; %[2]s
	}
}
`, w.bridge(), rules))
}

// unfilter removes the table, if there is one.
func (w *Netns) unfilter() error {
	return nft(fmt.Sprintf("table bridge %[1]s {}\ndelete table bridge %[1]s\n", w.bridge()))
}

func (w *Netns) change(verb, set string, ways []Way) error {
	var pairs []string
	for _, way := range ways {
		from, to := w.end(way.From), w.end(way.To)
		if from == "" || to == "" {
			return fmt.Errorf("network %s has no way from %q to %q", w.bridge(), way.From, way.To)
		}
		pairs = append(pairs, from+" . "+to)
	}
	if len(pairs) == 0 {
		return nil
	}
	return nft(fmt.Sprintf("%s element bridge %s %s { %s }\n", verb, w.bridge(), set, strings.Join(pairs, ", ")))
}

// end is the address of an end of a way, "" if there is no such host.
func (w *Netns) end(host string) string {
	if host == Outside {
		return w.address(1)
	}
	if !slices.Contains(w.hosts, host) {
		return ""
	}
	return w.Address(host)
}

func nft(script string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "Operation not permitted") {
		return fmt.Errorf("%w: nft: %s", ErrNotAllowed, strings.TrimSpace(string(out)))
	}
	if err != nil {
		return fmt.Errorf("nft: %w: %s (package nftables is needed)", err, strings.TrimSpace(string(out)))
	}
	return nil
}
