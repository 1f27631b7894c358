package backups

import (
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// TestCancelledBeforeItBegan: work that waits, because its cluster is paused or has no plan any more, ends at once when it is cancelled.
func TestCancelledBeforeItBegan(t *testing.T) {
	plan := &platform.BackupPlan{Targets: []string{"vault"}}
	for name, c := range map[string]struct {
		order platform.BackupOrder
		want  string // "" if nothing begins
	}{
		"paused":    {platform.BackupOrder{Plan: plan, Hold: true, Job: &platform.BackupJob{Number: 7}}, ""},
		"no plan":   {platform.BackupOrder{Job: &platform.BackupJob{Number: 7}}, ""},
		"cancelled": {platform.BackupOrder{Plan: plan, Hold: true, Job: &platform.BackupJob{Number: 7, Cancel: true}}, errOperator.Error()},
		"unplanned": {platform.BackupOrder{Hold: true, Job: &platform.BackupJob{Number: 7, Cancel: true}}, errUnplanned.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			news := 0
			h := New(Options{Config: config.Agent{Data: t.TempDir()}, Log: zap.NewNop(), News: func() { news++ },
				Server: func(string) *postgres.Server { return nil }})
			h.Obey("feed-e2", "feed", c.order)
			j := h.next()
			if c.want == "" {
				if j != nil {
					t.Errorf("%+v begins", j)
				}
				return
			}
			if j == nil {
				t.Fatal("nothing ends it")
			}
			h.do(t.Context(), j)
			if e := h.Report("feed-e2").Ended; e == nil || e.Number != 7 || e.Done || e.Outcome != c.want || news != 1 {
				t.Errorf("%+v, told %d times", e, news)
			}
			if h.next() != nil {
				t.Error("it begins again")
			}
		})
	}
}
