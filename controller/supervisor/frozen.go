package supervisor

import (
	"context"
	"fmt"
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
			if err == nil {
				m.mu.Lock()
				m.recheck = recheck{of, found}
				m.mu.Unlock()
				m.o.Host.Report()
			}
			m.log.Info("pages were compared again", zap.Any("pages", found), zap.Error(err))
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
