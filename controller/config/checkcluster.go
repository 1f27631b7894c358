package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mainstay/controller/platform"
)

// Bounds of what a cluster may ask for, beside those of the lease in platform.
const (
	leaseStep   = 10 * time.Millisecond // so that a heartbeat, lease/10, is a whole number of milliseconds
	mostAccept  = 24 * time.Hour        // a longer one would in effect mean wait
	mostPrio    = 1000
	longestTier = 40
)

func (c *checks) cluster(at where, k *platform.Cluster) {
	c.name("cluster", at.field("name"), k.Name)
	if !isWord(k.Tier) {
		c.add(at.field("tier"), quote(k.Tier)+" is not a word", "use at most 40 printable characters on one line")
	}
	if len(k.Members) == 0 {
		c.add(at.field("members"), "is missing", "name the PostgreSQL instances of the cluster")
	}
	leads := map[string]bool{}
	for i, m := range k.Members {
		c.member(at.field("members").item(i, m.Name), &k.Members[i])
		if m.MayLead {
			leads[c.siteOf(m.Host)] = true
		}
	}
	c.leads[k.Name] = leads
	if len(leads) == 0 && len(k.Members) > 0 {
		c.add(at.field("members"), "no member may lead, so the cluster could have no primary", "set may-lead: true on one")
	}
	c.durability(at.field("durability"), k)
	c.failover(at, k)
	c.lease(at.field("lease"), k.Lease)
	if k.SlotsLeft != "" {
		oneOf(c.report, at.field("slots-left-behind"), k.SlotsLeft, platform.AllowSlotsLeft, platform.RefuseSlotsLeft)
	}
	if k.BaseBackups != "" {
		oneOf(c.report, at.field("base-backups"), k.BaseBackups, platform.EndBackups, platform.AwaitBackups)
	}
	c.checkSchedule(at.field("integrity"), k.Integrity)
	c.backupPlan(at.field("backup"), k.Backup)
	c.leaseWatched(at.field("lease"), k)
}

// isWord tells whether a free word of the operator fits on a line of `status`.
func isWord(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= longestTier &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (c *checks) member(at where, m *platform.Member) {
	c.name("member", at.field("name"), m.Name)
	if m.Port < 1 || m.Port > 65535 {
		c.add(at.field("port"), fmt.Sprintf("%d is not a port", m.Port), "use 1 to 65535")
	}
	if m.Priority < -mostPrio || m.Priority > mostPrio {
		c.add(at.field("priority"), fmt.Sprintf("%d is out of range", m.Priority), "use -1000 to 1000; higher is preferred")
	}
	if !c.ref(at.field("host"), "host", "hosts", m.Host) {
		return
	}
	h := c.hosts[m.Host]
	if s := c.sites[h.Site]; s != nil && s.Witness {
		c.add(at.field("host"), fmt.Sprintf("%s is on site %s, a witness site, which holds no data", h.Name, s.Name),
			"use a host on another site, or remove witness: true there")
	}
	c.port(at, m, h)
}

// listener is a member that listens on a port of its host.
type listener struct {
	at   where
	host string
}

// port checks that no two members listen on one address and port. If they are on two hosts, the mistake is the second host's address, and
// is reported there once.
func (c *checks) port(at where, m *platform.Member, h *platform.Host) {
	if c.broken[at.field("port").key] {
		return
	}
	place := h.Address
	if place == "" {
		place = h.Name
	}
	place = net.JoinHostPort(place, strconv.Itoa(m.Port))
	first, taken := c.ports[place]
	switch {
	case !taken:
		c.ports[place] = listener{at, h.Name}
	case first.host == h.Name:
		c.add(at.field("port"), fmt.Sprintf("%s is already the address of the member%s", place, c.line(first.at)),
			"give each member of a host its own port")
	default:
		c.sharedAddress(first.host, h.Name, m.Port)
	}
}

// sharedAddress reports two hosts with one address, on which members of both listen on one port.
func (c *checks) sharedAddress(one, other string, port int) {
	place := func(name string) where {
		i := slices.IndexFunc(c.p.Hosts, func(h platform.Host) bool { return h.Name == name })
		return where{}.field("hosts").item(i, name).field("address")
	}
	first, second := place(one), place(other)
	if c.broken[second.key] {
		return
	}
	c.add(second, fmt.Sprintf("%s is also the address of host %s%s, and members of both listen on port %d", quote(c.hosts[other].Address), one,
		c.line(first), port), "give each host its own address; if it is one host, delete the other one and give each of its members its own port")
	c.broken[second.key] = true // once for all members of the two
}

func (c *checks) durability(at where, k *platform.Cluster) {
	d, replicas := k.Durability, max(0, len(k.Members)-1)
	from := oneOf(c.report, at.field("from"), d.From, platform.FromAny, platform.FromOtherSite)
	oneOf(c.report, at.field("when-short"), d.WhenShort, platform.BlockWhenShort, platform.DegradeWhenShort)
	if c.broken[at.field("acks").key] {
		return
	}
	if d.Acks < 0 || d.Acks > replicas {
		c.add(at.field("acks"), fmt.Sprintf("%d asked for, but the cluster has %s", d.Acks, count(replicas, "replica")),
			upTo(replicas)+", or add members")
		return
	}
	if d.Acks == 0 && d.From == platform.FromOtherSite {
		c.add(at.field("from"), "without acks there is nothing to come from another site", "set acks to 1 or more, or use from: any")
	}
	if d.Acks > 0 && from {
		c.acks(at, k)
	}
}

// acks checks that, whichever member leads, enough others may give its acks; on other sites, if acks must come from there.
func (c *checks) acks(at where, k *platform.Cluster) {
	bySite, sound := map[string]int{}, true
	for _, m := range k.Members {
		site := c.siteOf(m.Host)
		sound = sound && c.sites[site] != nil // otherwise reported at the site
		if !m.NoAck {
			bySite[site]++
		}
	}
	all, d := ackers(k.Members), k.Durability
	for _, m := range k.Members {
		elsewhere := all - bySite[c.siteOf(m.Host)]
		switch {
		case !m.MayLead:
		case beside(all, m) < d.Acks:
			c.add(at.field("acks"), fmt.Sprintf("with %s as primary %s may acknowledge, too few for %s", m.Name,
				count(beside(all, m), "other member"), count(d.Acks, "ack")),
				"set may-ack: true on more members, lower acks, or set may-lead: false on it")
			return
		case d.From == platform.FromOtherSite && sound && elsewhere < d.Acks:
			c.add(at.field("from"), fmt.Sprintf("with %s as primary other sites have %s, too few for %s",
				m.Name, count(elsewhere, acking(all, k)), count(d.Acks, "ack")), "add members on other sites, lower acks, or set may-lead: false on it")
			return
		}
	}
}

// acking is the word for the members that can acknowledge: all members, or some.
func acking(all int, k *platform.Cluster) string {
	if all < len(k.Members) {
		return "acknowledging member"
	}
	return "member"
}

// siteOf is the site of a host, "" where that is unknown.
func (c *checks) siteOf(host string) string {
	if h := c.hosts[host]; h != nil {
		return h.Site
	}
	return ""
}

// failover checks the policy. A loss must not be accepted before a lease has surely ended: until then the missing member may still
// serve, and may answer again.
func (c *checks) failover(at where, k *platform.Cluster) {
	f, lease := k.Failover, k.Lease
	if c.broken[at.field("lease").key] {
		lease = 0
	}
	whole := at
	at = at.field("failover")
	oneOf(c.report, at.field("across-sites"), f.AcrossSites, platform.AcrossAutomatic, platform.AcrossApproval, platform.AcrossNever)
	if f.OnCorruption != "" {
		oneOf(c.report, at.field("on-corruption"), f.OnCorruption, platform.WaitOnCorruption, platform.AutomaticOnCorruption)
	}
	if k.Freeze != "" {
		oneOf(c.report, whole.field("integrity").field("freeze"), k.Freeze, platform.FreezeAutomatic, platform.FreezeOff)
	}
	c.reachableBy(at.field("reachable-by"), k)
	at = at.field("when-incomplete")
	if f.WhenIncomplete == platform.AcceptWhenIncomplete {
		c.accept(at, f.AcceptAfter, lease)
	} else if f.WhenIncomplete != platform.WaitWhenIncomplete {
		c.add(at, quote(string(f.WhenIncomplete))+" is not allowed", "use wait or {accept: 30s}")
	} else if f.AcceptAfter != 0 {
		c.add(at, "wait needs no time", "use wait or {accept: 30s}")
	}
}

func (c *checks) accept(at where, after, lease time.Duration) {
	least := platform.CountOut(lease)
	switch {
	case after == 0 && !c.given(at.field("accept")):
		c.add(at, "accept needs a time", "write {accept: 30s}")
	case lease < platform.MinLease || lease > platform.MaxLease: // reported at the lease
	case after < least:
		c.add(at.field("accept"), fmt.Sprintf("%s is too short to be safe: a lease of %s surely ends only after %s, and until then"+
			" the missing member may still serve", span(after), span(lease), span(least)), "use "+span(least)+" or more")
	case after > mostAccept:
		c.add(at.field("accept"), span(after)+" is too long", "use at most 24h, or wait")
	}
}

// lease checks the timing from which all others are derived.
func (c *checks) lease(at where, l time.Duration) {
	switch {
	case l < platform.MinLease:
		c.add(at, span(l)+" is too short to be safe: a busy host or a short leader change would stop a healthy primary", "use 1s to 60s")
	case l > platform.MaxLease:
		c.add(at, span(l)+" is too long: a failover without a fence device would wait "+span(platform.CountOut(l)), "use 1s to 60s")
	case l%leaseStep != 0:
		c.add(at, span(l)+" is not a multiple of 10ms, so its heartbeat would not be a whole millisecond", "use "+span(l.Round(leaseStep)))
	}
}

// leaseWatched checks that a watchdog that a host requires can follow the lease.
func (c *checks) leaseWatched(at where, k *platform.Cluster) {
	if k.Lease < platform.MinLease || platform.WatchdogTimeout(k.Lease) > 0 {
		return
	}
	for _, m := range k.Members {
		if h := c.hosts[m.Host]; h != nil && h.Watchdog == platform.WatchdogRequired {
			c.add(at, fmt.Sprintf("%s is too short for the watchdog that host %s requires: watchdogs count whole seconds", span(k.Lease), h.Name),
				"use 2s or more, or watchdog: automatic there")
			return
		}
	}
}
