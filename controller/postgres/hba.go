package postgres

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// hbaRule is a row of pg_hba_file_rules: a rule as the server reads it from its files, includes followed, or what is wrong with a
// line of them.
type hbaRule struct {
	File      string   `json:"file_name"` // before PostgreSQL 16 hba_file has them all
	Line      int      `json:"line_number"`
	Type      string   `json:"type"`
	Databases []string `json:"database"`
	Users     []string `json:"user_name"`
	Address   string   `json:"address"`
	Netmask   string   `json:"netmask"`
	Method    string   `json:"auth_method"`
	Error     string   `json:"error"`

	// Words that stand in quotes, which makes a name of a keyword. The view does not show quotes.
	quotedDatabases, quotedUsers []string
}

// access is what a server reports of its access rules. The pure part of it follows hba.c of PostgreSQL.
type access struct {
	Rules   []hbaRule           `json:"rules"`
	Groups  []string            `json:"groups"`  // roles that our account is a member of, through others too
	Regexes map[string][]string `json:"regexes"` // by regular expression of a rule (16 and later): which of our names it matches
	TLS     bool                `json:"tls"`     // ssl is on

	own []netip.Prefix // addresses of the server's host, each with its network
}

// caller is a connection as the rules see it: over the network, without GSSAPI encryption.
type caller struct {
	user     string
	database string // "" for physical replication
	tls      bool
	client
}

// client is where a caller is: an address, or a host that is known by its name only.
type client struct {
	addr netip.Addr
	host string
	v4   bool // of a host: it can only come by IPv4
}

// first is the number of the rule that decides about a caller; -1 where none is for it, which shuts it out too.
func (a access) first(c caller) int {
	return slices.IndexFunc(a.Rules, func(r hbaRule) bool {
		return r.Error == "" && r.carries(c.tls) && a.holds(r, c.client) && a.names(r, c.user, c.database)
	})
}

// carries tells whether a rule is for the kind of connection.
func (r hbaRule) carries(tls bool) bool {
	switch r.Type {
	case "host", "hostnogssenc":
		return true
	case "hostssl":
		return tls
	case "hostnossl":
		return !tls
	}
	return false
}

// names tells whether a rule is for a user and a database.
func (a access) names(r hbaRule, user, database string) bool {
	member := func(role string) bool { return role == user || slices.Contains(a.Groups, role) }
	return slices.ContainsFunc(r.Databases, func(word string) bool {
		keyword := !slices.Contains(r.quotedDatabases, word)
		switch {
		case database == "" || word == "replication" && keyword:
			return database == "" && word == "replication" && keyword
		case word == "all" && keyword:
			return true
		case word == "sameuser" && keyword:
			return database == user
		case (word == "samerole" || word == "samegroup") && keyword:
			return member(database)
		}
		return word == database || slices.Contains(a.Regexes[word], database)
	}) && slices.ContainsFunc(r.Users, func(word string) bool {
		keyword := !slices.Contains(r.quotedUsers, word)
		switch {
		case strings.HasPrefix(word, "+") && keyword:
			return member(word[1:])
		case word == "all" && keyword:
			return true
		}
		return word == user || slices.Contains(a.Regexes[word], user)
	})
}

// holds tells whether a rule is for the place of a client. A host that is known by its name only may have any address.
func (a access) holds(r hbaRule, c client) bool {
	switch n, kind := r.network(); {
	case kind == addressAll:
		return true
	case kind == addressName && strings.HasPrefix(r.Address, "."):
		return len(c.host) > len(r.Address) && strings.EqualFold(c.host[len(c.host)-len(r.Address):], r.Address)
	case kind == addressName:
		return strings.EqualFold(c.host, r.Address)
	case kind == addressNetwork && !c.addr.IsValid():
		return c.v4 && n.addr.Is4() && n.bits() == 0
	case kind == addressNetwork:
		return n.contains(c.addr)
	case kind == addressOwnNets:
		return slices.ContainsFunc(a.own, func(p netip.Prefix) bool { return p.Contains(c.addr) })
	}
	return slices.ContainsFunc(a.own, func(p netip.Prefix) bool { return p.Addr() == c.addr })
}

// The kinds of what a rule has as address.
const (
	addressAll = iota
	addressOwn
	addressOwnNets
	addressName
	addressNetwork
)

// network is an address and a mask, which need not be a prefix.
type network struct {
	addr netip.Addr
	mask []byte
}

func (r hbaRule) network() (network, int) {
	switch r.Address {
	case "", "all":
		return network{}, addressAll
	case "samehost":
		return network{}, addressOwn
	case "samenet":
		return network{}, addressOwnNets
	}
	addr, err1 := netip.ParseAddr(r.Address)
	mask, err2 := netip.ParseAddr(r.Netmask)
	if err1 != nil || err2 != nil || addr.BitLen() != mask.BitLen() {
		return network{}, addressName
	}
	return network{addr.WithZone(""), mask.AsSlice()}, addressNetwork
}

func (n network) contains(c netip.Addr) bool {
	if n.addr.BitLen() != c.BitLen() {
		return false
	}
	theirs := c.AsSlice()
	for k, b := range n.addr.AsSlice() {
		if (b^theirs[k])&n.mask[k] != 0 {
			return false
		}
	}
	return true
}

// bits is the length of the prefix; -1 where the mask is none.
func (n network) bits() int {
	ones, all := net.IPMask(n.mask).Size()
	if all == 0 {
		return -1
	}
	return ones
}

// edges are the first address, and the first one past the last: rules for networks overlap in such a way that a caller admitted
// anywhere is admitted at an edge of one of them.
func (n network) edges() []netip.Addr {
	first, past := n.addr.AsSlice(), n.addr.AsSlice()
	for k, m := range n.mask {
		first[k] &= m
		past[k] |= ^m
	}
	from, _ := netip.AddrFromSlice(first)
	last, _ := netip.AddrFromSlice(past)
	return []netip.Addr{from, last.Next()}
}

// clients are places from which others may reach the address where a server listens: enough of them, for wherever a rule lets a
// caller in it lets in one of them. From this host's loopback no caller reaches another address.
func (a access) clients(listen string) (all []client) {
	at, _ := netip.ParseAddr(listen)
	outward := at.IsValid() && !at.IsLoopback() || !at.IsValid() && listen != "localhost"
	add := func(addrs ...netip.Addr) {
		for _, c := range addrs {
			family := !at.IsValid() || c.BitLen() == at.BitLen()
			if c.IsValid() && family && !(outward && c.IsLoopback()) {
				all = append(all, client{addr: c})
			}
		}
	}
	loopback := network{netip.AddrFrom4([4]byte{127}), []byte{255, 0, 0, 0}}
	add(loopback.edges()...)
	add(netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.IPv6Unspecified().Next().Next()) // past ::1
	for _, r := range a.Rules {
		switch n, kind := r.network(); kind {
		case addressNetwork:
			add(n.edges()...)
		case addressName:
			if host := r.Address; !outward || host != "localhost" {
				if strings.HasPrefix(host, ".") {
					host = "any" + host
				}
				all = append(all, client{host: host, v4: at.Is4()})
			}
		}
	}
	for _, p := range a.own { // of the host's own addresses none is another host's
		if p.IsSingleIP() && outward {
			continue
		}
		mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
		add(network{p.Addr(), mask}.edges()...)
		if !outward {
			add(p.Addr())
		}
	}
	return all
}

// admits looks whether an account gets into a database ("" is replication) from anywhere, over one of the ways in which our
// programs connect. Where it does not, by is the first rule that turns it away somewhere, nil for none.
func (a access) admits(user, database, listen string, ways []bool) (ok bool, by *hbaRule) {
	a.Rules = slices.DeleteFunc(slices.Clone(a.Rules), func(r hbaRule) bool { return r.Error != "" || !a.names(r, user, database) })
	first := len(a.Rules)
	for _, where := range a.clients(listen) {
		for _, tls := range ways {
			n := a.first(caller{user, database, tls, where})
			switch {
			case n < 0:
			case a.Rules[n].Method != "reject":
				return true, nil
			case n < first:
				first, by = n, &a.Rules[n]
			}
		}
	}
	return false, by
}

// short says how the first rule that would let an account in falls short; "" where there is none.
func (a access) short(user, database string, ways []bool) string {
	for _, r := range a.Rules {
		if r.Error != "" || r.Method == "reject" || !a.names(r, user, database) {
			continue
		}
		only := "from this host, or from addresses of another kind than the member's"
		switch {
		case r.Type == "local":
			only = "through the local socket"
		case r.Type == "hostgssenc":
			only = "with GSSAPI encryption"
		case !slices.ContainsFunc(ways, r.carries) && r.Type == "hostssl":
			only = "with TLS, which is off (ssl)"
		case !slices.ContainsFunc(ways, r.carries):
			only = "without TLS"
		}
		return fmt.Sprintf("%s lets it in, but only %s", r, only)
	}
	return ""
}

// String names the place of a rule and what it says.
func (r hbaRule) String() string {
	address := r.Address
	if n, kind := r.network(); kind == addressNetwork {
		address += "/" + r.Netmask
		if bits := n.bits(); bits >= 0 {
			address = fmt.Sprintf("%s/%d", r.Address, bits)
		}
	}
	words := []string{r.Type, strings.Join(r.Databases, ","), strings.Join(r.Users, ","), address, r.Method}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	return fmt.Sprintf("%s line %d (%s)", r.File, r.Line, strings.Join(words, " "))
}

// complete adds what the server does not show: the file of each rule before PostgreSQL 16, quotes as far as the files can be
// read, and the host's addresses.
func (a *access) complete(hbaFile string, read func(path string) ([]byte, error)) error {
	files := map[string][]string{}
	for n := range a.Rules {
		r := &a.Rules[n]
		r.File = cmp.Or(r.File, hbaFile)
		lines, seen := files[r.File]
		if !seen {
			text, _ := read(r.File) // unread, its quoted words count as keywords
			lines = strings.Split(string(text), "\n")
			files[r.File] = lines
		}
		if fields := hbaFields(lines, r.Line); len(fields) > 2 {
			r.quotedDatabases, r.quotedUsers = fields[1], fields[2]
		}
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("the host's addresses: %w", err)
	}
	for _, one := range all {
		if p, err := netip.ParsePrefix(one.String()); err == nil {
			a.own = append(a.own, p)
		}
	}
	return nil
}

// hbaFields are the words in quotes of each field of a rule that begins on a line, and continues behind a backslash.
func hbaFields(lines []string, line int) (fields [][]string) {
	var text string
	for at := line - 1; at >= 0 && at < len(lines); at++ {
		part, more := strings.CutSuffix(strings.TrimRight(lines[at], "\r"), `\`)
		if text += part; !more {
			break
		}
	}
	const none, bare, quoted = 0, 1, 2
	var word strings.Builder
	state, inside, list := none, false, false // list: the field continues behind a comma
	end := func() {
		if state == none {
			return
		}
		if !list {
			fields = append(fields, nil)
		}
		if last := len(fields) - 1; state == quoted {
			fields[last] = append(fields[last], word.String())
		}
		state, list = none, false
		word.Reset()
	}
	for n, c := range text {
		switch {
		case c == '"':
			if state == none {
				state = quoted
			} else if !inside && text[n-1] == '"' {
				word.WriteRune(c) // a doubled one
			}
			inside = !inside
		case inside:
			word.WriteRune(c)
		case c == '#':
			end()
			return fields
		case c == ' ' || c == '\t' || c == ',':
			open := state != none
			end()
			list = list || open && c == ','
		default:
			state = max(state, bare)
			word.WriteRune(c)
		}
	}
	end()
	return fields
}

// quoteHBA writes a name for pg_hba.conf, where quotes keep it from meaning something else.
func quoteHBA(name string) string {
	plain := func(c rune) bool {
		return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '.'
	}
	if name == "all" || strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) {
		return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return name
}
