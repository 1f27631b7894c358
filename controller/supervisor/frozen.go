package supervisor

import (
	"context"
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

// recheck is what comparing the pages of a frozen replica again has shown. shared.mu guards it.
type recheck struct {
	of    string // the data and pages it is about
	pages []health.FrozenPage
}

// publish puts it into a report of the same data.
func (c *recheck) publish(r *health.Member, of string) {
	if r.Frozen != nil && c.of == of {
		shown := *r.Frozen
		shown.Compared = c.pages
		r.Frozen = &shown
	}
}

// toCompare are the pages of a frozen replica, "" in of while its replay has not paused; called with mu held.
func (m *shared) toCompare() (of string, pages []string) {
	g, f := &m.told.goal, m.view.report.Frozen
	if f == nil || g.Freeze == nil || f.Incarnation != g.Freeze.Incarnation || len(g.Freeze.Pages) == 0 {
		return "", nil
	}
	return f.Incarnation + " " + strings.Join(g.Freeze.Pages, ","), g.Freeze.Pages
}

// compareFrozen compares the pages for whose sake replay was paused once more, since an image of the primary's page may have been replayed
// between the comparison and the pause.
func compareFrozen(ctx context.Context, m *Supervisor) {
	due := time.Duration(0)
	for {
		m.mu.Lock()
		of, pages := m.toCompare()
		done, news, calm := of == "" || m.recheck.of == of, m.news, m.calm()
		m.mu.Unlock()
		if !done && calm && boottime.Now() >= due {
			due = boottime.Now() + againEvery
			found, err := again(ctx, m, pages)
			if err == nil {
				m.mu.Lock()
				m.recheck = recheck{of, found}
				m.mu.Unlock()
				m.o.Host.Report()
			}
			m.log.Info("the pages of a frozen replica were compared again", zap.Any("pages", found), zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
	}
}

func again(ctx context.Context, m *Supervisor, pages []string) ([]health.FrozenPage, error) {
	ctx, cancel := context.WithTimeout(ctx, againBound)
	defer cancel()
	others, closeAll := m.o.Host.Others(m.o.Name, m.Peers(), nil, 0)
	defer closeAll()
	return compare.Again(ctx, append([]compare.Member{ownFiles{comparer: &m.comparer}}, others...), pages, compare.Options{Catalog: m.catalog})
}
