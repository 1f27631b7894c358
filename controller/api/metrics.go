package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mainstay/controller/loop"
	"mainstay/controller/metric"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// scrapeTime bounds a scrape's wait for the loop.
const scrapeTime = 2 * time.Second

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mainstay_"+name, help, labels, nil)
}

// The metrics of a controller. Only the leader exports those of clusters and members, so that a sum over controllers counts nothing twice.
var (
	mLeader    = desc("is_leader", "1 if this controller leads and has applied all earlier entries.")
	mTerm      = desc("raft_term", "Raft's current term.")
	mApplied   = desc("raft_applied_index", "Index of the last command applied.")
	mElections = desc("elections_total", "Elections this controller has won.")
	mReports   = desc("reports_total", "Reports accepted from agents.")
	mBarriers  = desc("ticks_total", "Barriers proposed as leader.")
	mCommands  = desc("commands_total", "Commands proposed as leader.")
	mRefused   = desc("commands_refused_total", "Commands that were refused or failed.")

	mCert = desc("certificate_days_left", "Days until a certificate that this process uses expires; negative after that.", "holder")

	mFencing  = desc("cluster_fencing", "1 while the cluster's epoch is being fenced.", "cluster")
	mPaused   = desc("cluster_paused", "1 while the cluster is paused.", "cluster")
	mProblems = desc("problems", "Problems at this moment: of a cluster, or of an app, a site or a controller, where cluster is empty.",
		"cluster", "app", "site", "controller", "kind", "severity")
	mOps      = desc("operations_total", "Operations in the history (the last 1,000 of a cluster).", "cluster", "kind", "result")
	mFailover = desc("last_failover_seconds", "Length of the last successful failover, from its beginning to the first write.", "cluster")

	mUp       = desc("member_up", "1 if PostgreSQL runs, by a report that still counts.", "cluster", "member")
	mRole     = desc("member_role", "1 for the role the member reports.", "cluster", "member", "role")
	mEpoch    = desc("member_epoch", "Number of the highest epoch the member has obeyed.", "cluster", "member")
	mTimeline = desc("member_timeline", "The member's timeline.", "cluster", "member")
	mLag      = desc("member_lag_bytes", "Bytes of WAL behind the primary's last known position.", "cluster", "member")
	mReplay   = desc("member_unreplayed_bytes", "Bytes of WAL that a replica has received and not replayed.", "cluster", "member")
	mReplayed = desc("member_replay_age_seconds", "Age of a replica's last replayed transaction while it has WAL to replay; 0 if it has none.",
		"cluster", "member")
	mLease = desc("member_lease_left_seconds", "Time left of the lease at the last report.", "cluster", "member")
	mAge   = desc("member_report_age_seconds", "Time since the agent's last report.", "cluster", "member")
	mGuard = desc("member_guard_complete", "1 if the member's guard is complete.", "cluster", "member")

	mScanAge   = desc("member_scan_age_seconds", "Time since the last complete scan of the member's files.", "cluster", "member")
	mScanFound = desc("member_scan_findings", "Damaged pages that the last scan of the member's files has found.", "cluster", "member")

	mLogRead  = desc("member_log_read", "1 if the agent reads PostgreSQL's log, and all of it.", "cluster", "member")
	mLogSigns = desc("member_log_signs", "Entries of PostgreSQL's log against the member's data or disk, while the last of the kind "+
		"is less than 24 hours old.", "cluster", "member", "kind")

	allMetrics = []*prometheus.Desc{mCert, mLeader, mTerm, mApplied, mElections, mReports, mBarriers, mCommands, mRefused, mFencing, mPaused,
		mProblems,
		mOps, mFailover, mUp, mRole, mEpoch, mTimeline, mLag, mReplay, mReplayed, mLease, mAge, mGuard, mScanAge,
		mScanFound, mLogRead, mLogSigns}
)

// metricsHandler serves a registry of its own, without the metrics of libraries.
func (a *API) metricsHandler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{a})
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{Timeout: short, MaxRequestsInFlight: 4})
}

// collector computes the metrics at each scrape, from one copy of the loop's knowledge.
type collector struct{ a *API }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range slices.Concat(allMetrics, siteMetrics, backupMetrics) {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	e := emitter{metric.Emitter(ch)}
	for _, end := range c.a.Certificates() {
		e.Gauge(mCert, time.Until(end.At).Hours()/24, end.Holder)
	}
	e.Gauge(mTerm, float64(c.a.Log.Term()))
	e.Gauge(mApplied, float64(c.a.Log.Applied()))
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	snapshot, err := c.a.Loop.Snapshot(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(mLeader, err)
		return
	}
	e.Flag(mLeader, snapshot.Leading)
	e.Counter(mElections, snapshot.Stats.Elections)
	e.Counter(mReports, snapshot.Stats.Reports)
	e.Counter(mBarriers, snapshot.Stats.Barriers)
	e.Counter(mCommands, snapshot.Stats.Commands)
	e.Counter(mRefused, snapshot.Stats.Refused)
	if snapshot.Leading && snapshot.Input.State.Platform != nil {
		e.platform(snapshot)
	}
}

// emitter adds what the controllers know to a scrape.
type emitter struct{ metric.Emitter }

func (e emitter) platform(snapshot loop.Snapshot) {
	count := map[[6]string]float64{}
	for _, p := range snapshot.Last.Problems {
		count[[6]string{p.Cluster, p.App, p.Site, p.Controller, string(p.Kind), string(p.Kind.Severity())}]++
	}
	for k, n := range count {
		e.Gauge(mProblems, n, k[:]...)
	}
	e.sites(snapshot)
	for i := range snapshot.Input.State.Platform.Clusters {
		e.cluster(snapshot, &snapshot.Input.State.Platform.Clusters[i])
	}
}

func (e emitter) cluster(snapshot loop.Snapshot, conf *platform.Cluster) {
	cl := snapshot.Input.State.Clusters[conf.Name]
	e.Flag(mFencing, cl.Fencing(), conf.Name)
	e.Flag(mPaused, cl.Pause != nil, conf.Name)
	ops := map[[2]string]uint64{}
	for i := range cl.Operations {
		o := &cl.Operations[i]
		ops[[2]string{string(o.Kind), string(o.Result)}]++
	}
	for k, n := range ops {
		e.Counter(mOps, n, conf.Name, k[0], k[1])
	}
	if d := lastFailover(cl); d > 0 {
		e.Gauge(mFailover, d.Seconds(), conf.Name)
	}
	e.backups(snapshot, conf)
	for i := range conf.Members {
		e.member(snapshot, conf, &conf.Members[i])
	}
}

func (e emitter) member(snapshot loop.Snapshot, conf *platform.Cluster, m *platform.Member) {
	s := memberStatus(snapshot, conf, snapshot.Input.State.Clusters[conf.Name], m)
	fresh := snapshot.Input.View.Fresh(m, platform.Suspect(conf.Lease), snapshot.Input.Now)
	e.Flag(mUp, fresh != nil && fresh.Process == health.ProcessRunning, conf.Name, m.Name)
	e.Gauge(mAge, s.Age.Seconds(), conf.Name, m.Name)
	if s.Seen == nil {
		return
	}
	role := string(s.Seen.Role)
	if role == "" {
		role = "unknown"
	}
	e.Gauge(mRole, 1, conf.Name, m.Name, role)
	e.Gauge(mEpoch, float64(s.Seen.Epoch.Number), conf.Name, m.Name)
	e.Gauge(mTimeline, float64(s.Seen.Timeline), conf.Name, m.Name)
	e.Gauge(mLease, float64(s.Seen.LeaseLeft)/1000, conf.Name, m.Name)
	e.Flag(mGuard, s.Seen.Guard.Complete, conf.Name, m.Name)
	if scan := s.Seen.Scan; scan != nil && scan.Complete {
		e.Gauge(mScanAge, (time.Duration(scan.AgeMS)*time.Millisecond + s.Age).Seconds(), conf.Name, m.Name)
	}
	if scan := s.Seen.Scan; scan != nil && (scan.Complete || scan.Findings > 0) {
		e.Gauge(mScanFound, float64(scan.Findings), conf.Name, m.Name)
	}
	if log := s.Seen.Log; log != nil {
		e.Flag(mLogRead, log.Form != "" && log.Unread == "", conf.Name, m.Name)
		for _, kind := range health.Signs {
			n := int64(0)
			if sign := log.Sign(kind); sign != nil {
				n = sign.Count
			}
			e.Gauge(mLogSigns, float64(n), conf.Name, m.Name, kind)
		}
	}
	if s.Lag >= 0 {
		e.Gauge(mLag, float64(s.Lag), conf.Name, m.Name)
	}
	if s.Seen.Role == health.RoleStandby {
		e.Gauge(mReplay, float64(s.Unreplayed), conf.Name, m.Name)
		e.Gauge(mReplayed, float64(s.Seen.ReplayAgeMS)/1000, conf.Name, m.Name)
	}
}

// lastFailover is the duration of the last successful failover by the leaders' wall clocks; 0 if there was none.
func lastFailover(cl *state.Cluster) time.Duration {
	for i := len(cl.Operations) - 1; i >= 0; i-- {
		o := &cl.Operations[i]
		if o.Kind != state.Failover || o.Result != state.Done || len(o.Steps) < 2 {
			continue
		}
		from, err1 := time.Parse(time.RFC3339, o.Steps[0].At)
		to, err2 := time.Parse(time.RFC3339, o.Steps[len(o.Steps)-1].At)
		if err1 == nil && err2 == nil {
			return to.Sub(from)
		}
	}
	return 0
}
