package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/health"
	"mainstay/health/integrity/compare"
)

const (
	// againEvery is the pause before the pages of a frozen replica are compared again, where they could not be.
	againEvery = 30 * time.Second
	againBound = 2 * time.Minute
	// tellBound bounds telling the other agents of a page that was mended.
	tellBound = 10 * time.Second
)

// recheck is what comparing the pages of a frozen replica again has shown, or a page that was mended. shared.mu guards it.
type recheck struct {
	of    string // the data and pages it is about
	pages []health.FrozenPage
}

// publish puts it into a report of the same data.
func (c *recheck) publish(r *health.Member, of string) {
	switch {
	case c.of != of || of == "":
	case r.Frozen != nil:
		shown := *r.Frozen
		shown.Compared = c.pages
		r.Frozen = &shown
	case r.Mended != nil && r.Mended.Compared == nil && len(c.pages) == 1:
		shown := *r.Mended
		shown.Compared = &c.pages[0]
		r.Mended = &shown
	}
}

// toCompare are the pages of a frozen replica once its replay has paused, or the page that an operation has mended once the replica streams
// again; "" in of for none. Called with mu held.
func (m *shared) toCompare() (of string, pages []string) {
	g, f := &m.told.goal, m.view.report.Frozen
	if d := m.durable.Mended; d != nil && d.Done && d.Compared == nil && g.Mend != nil && g.Mend.Number == d.Number &&
		m.view.report.Streams() {
		return fmt.Sprintf("mended %d", d.Number), []string{d.Page}
	}
	if f == nil || g.Freeze == nil || f.Incarnation != g.Freeze.Incarnation || len(g.Freeze.Pages) == 0 {
		return "", nil
	}
	return f.Incarnation + " " + strings.Join(g.Freeze.Pages, ","), g.Freeze.Pages
}

// pace lets pages be compared again at once, and those that could not be after a pause.
type pace struct {
	of  string
	due time.Duration
}

// begins tells whether they are compared now.
func (p *pace) begins(of string, now time.Duration) bool {
	if of == p.of && now < p.due {
		return false
	}
	p.of, p.due = of, now+againEvery
	return true
}

// compareFrozen compares the pages for whose sake replay was paused once more, since an image of the primary's page may have been replayed
// between the comparison and the pause.
func compareFrozen(ctx context.Context, m *Supervisor) {
	var p pace
	for {
		m.mu.Lock()
		of, pages := m.toCompare()
		paused := m.view.report.Frozen != nil
		done, news, calm := of == "" || m.recheck.of == of, m.news, m.calm()
		m.mu.Unlock()
		if !done && calm && p.begins(of, boottime.Now()) {
			found, err := again(ctx, m, pages, paused)
			mended := err == nil && !paused && len(found) == 1 && found[0].Same
			if mended {
				m.dropEvidence(m.o.Name, found[0].Page)
			}
			if err == nil {
				m.mu.Lock()
				m.recheck = recheck{of, found}
				m.mu.Unlock()
				m.o.Host.Report()
			}
			m.log.Info("pages were compared again", zap.Any("pages", found), zap.Error(err))
			if mended {
				tellMended(ctx, m, found[0].Page)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
	}
}

func again(ctx context.Context, m *Supervisor, pages []string, paused bool) ([]health.FrozenPage, error) {
	ctx, cancel := context.WithTimeout(ctx, againBound)
	defer cancel()
	others, closeAll := m.o.Host.Others(m.o.Name, m.Peers(), nil, 0)
	defer closeAll()
	return compare.Again(ctx, append([]compare.Member{ownFiles{comparer: &m.comparer}}, others...), pages, paused,
		compare.Options{Catalog: m.catalog})
}

// tellMended tells the other members' agents that a page was mended: the comparison that found it may be one of theirs.
func tellMended(ctx context.Context, m *Supervisor, page string) {
	ctx, cancel := context.WithTimeout(ctx, tellBound)
	defer cancel()
	others, closeAll := m.o.Host.Others(m.o.Name, m.Peers(), nil, 0)
	defer closeAll()
	for _, other := range others {
		if agent, ok := other.(compare.Told); ok {
			agent.Mended(ctx, page)
		}
	}
}

// dropEvidence takes a page of a member, which has the page of the others by now, out of what the kept comparisons have found.
func (m *comparer) dropEvidence(of, page string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.comparing
	one := c.whole == c.last
	c.last, _ = c.last.Mended(of, page)
	if c.whole, _ = c.whole.Mended(of, page); one {
		c.whole = c.last
	}
	if c.cancel != nil {
		c.mended = append(c.mended, [2]string{of, page})
	}
	m.signalShown()
}

// CompareMended looks again at a page that was mended on another member, if the kept comparisons name it: it is evidence no more once that
// member has the primary's page.
func (m *comparer) CompareMended(of, page string) {
	m.mu.Lock()
	c := &m.comparing
	_, last := c.last.Mended(of, page)
	_, whole := c.whole.Mended(of, page)
	begins := (last || whole) && !c.verifies
	c.verifies = c.verifies || begins
	m.mu.Unlock()
	if !begins {
		return
	}
	m.o.Group.Go(func() error {
		found, err := m.seenMended(of, page)
		m.mu.Lock()
		c.verifies = false
		m.mu.Unlock()
		m.log.Info("a page of another member that was mended was compared again", zap.Any("pages", found), zap.Error(err))
		if err == nil && len(found) == 1 && found[0].Same {
			m.dropEvidence(of, page)
			m.o.Host.Report()
		}
		return nil
	})
}

// seenMended compares a page of another member with the primary's.
func (m *comparer) seenMended(of, page string) ([]health.FrozenPage, error) {
	ctx, cancel := context.WithTimeout(m.o.Context, againBound)
	defer cancel()
	others, closeAll := m.o.Host.Others(m.o.Name, m.Peers(), nil, 0)
	defer closeAll()
	n := slices.IndexFunc(others, func(o compare.Member) bool { return o.Name() == of })
	if n < 0 {
		return nil, compare.ErrOneMember
	}
	others[0], others[n] = others[n], others[0]
	return compare.Again(ctx, append(others, ownFiles{comparer: m}), []string{page}, false, compare.Options{Catalog: m.catalog})
}
