package world

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mainstay/controller/state"
)

// damage is what is wrong with pages of a data directory (S5).
type damage struct {
	text    string // "" for nothing
	lost    string // the page is older than it should be, which only a comparison shows; "" for none
	counted bool   // PostgreSQL has read such a page since it last crashed, which makes it forget
	torn    bool   // a page was written in part
	mended  uint64 // the last mending that has put a page in its place; 0: none
	known   bool   // it stands in the log, and no operator has set it aside: for the checker
}

// planDamage adds damage to one scenario in six, from a source of its own: the other faults stay as they are.
func (w *World) planDamage() {
	r := rand.New(rand.NewPCG(w.seed, 0x64616d616765))
	if r.IntN(6) != 0 {
		return
	}
	at := quiet + time.Duration(r.Int64N(int64(trouble-quiet)/2))
	w.faults = append(w.faults, &fault{number: len(w.faults) + 1, at: at, run: (*World).spoil})
}

// spoil damages pages of one member's data. It shows once PostgreSQL happens to read them. The data counts as lost: it is no copy that a
// promotion may need.
func (w *World) spoil() string {
	m := w.someMember()
	if !m.pg.present || m.pg.busy || m.pg.damage.text != "" || !m.cluster.mayLose() {
		return ""
	}
	m.cluster.destroyed = append(m.cluster.destroyed, m.name)
	w.counts["damaged"]++
	m.pg.damage.text = fmt.Sprintf("page %d of %s", w.now/time.Millisecond, m.name)
	m.pg.readDamaged(m.pg.damage.text)
	return "pages of " + m.name + " are damaged"
}

func (p *postgres) readDamaged(text string) {
	p.w.after(p.w.span(100*time.Millisecond, 3*time.Second), func() {
		if p.damage.text != text {
			return // other data has taken its place
		}
		p.damage.counted = p.damage.counted || p.running
		p.readDamaged(text)
	})
}

// verified ends a scan of all pages of the data, which counts if the data has been in use since it began.
func (m *supervisor) verified(asked string) {
	if m.verify != asked {
		return
	}
	if p := m.pg; !p.running {
		m.verify = "" // the next goal begins it anew
	} else if p.damage.text == "" {
		m.scanned, m.of = asked, m.durable.Incarnation
	} else {
		p.damage.counted = true
	}
}

// judged follows the verdicts in the log.
func (w *World) judged(c *cluster, j *state.Judge) {
	m := c.member(j.Member)
	if m.durable.Incarnation != j.Incarnation {
		return
	}
	if j.Excluded == "" {
		w.counts["verdict withdrawn"]++
		m.pg.damage.known = false
	} else {
		w.counts["verdict"]++
		c.last.damage = c.last.damage || c.last.at != 0
		m.pg.damage.known = m.pg.damage.text+m.pg.damage.lost != ""
	}
}

// mendPages is an operator, asked once a second after all else has healed, who repairs the pages of a primary, since nothing is rebuilt
// from damaged data, and then those of a replica that stays excluded, since commits cannot spare it for a copy; and says so.
func (w *World) mendPages(c *cluster) {
	const patience = 20
	s := c.state()
	for _, m := range c.members {
		if m.excluded++; s.Primary == "" || s.Members[m.name] == nil || s.Members[m.name].Excluded == "" {
			m.excluded = 0
		}
		if m.name != s.Primary && m.excluded < patience {
			continue
		}
		m.pg.damage = damage{mended: m.pg.damage.mended}
		for _, by := range c.members {
			by.compared = nil // he compares again
		}
		if m.excluded > 0 {
			w.ask(state.Command{Cluster: c.name, Judge: &state.Judge{Member: m.name, Incarnation: s.Members[m.name].Incarnation,
				Reason: "its pages are repaired"}})
		}
	}
}
