package agent

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// The agent itself shows the promises that its members have given and got: there may be no leader to show them (L5).
func TestPromisesAreShown(t *testing.T) {
	o := newOffice(t)
	guarded := health.Guard{Complete: true, Missing: []string{wire.MissingService + ": none"}}
	o.members["feed-e2"] = assemble(&shared{agent: o.Agent, name: "feed-e2", view: view{report: health.Member{Guard: guarded}},
		told: told{goal: platform.Goal{Kind: platform.GoalReplica, Cluster: "feed"}},
		leasing: leasing{promised: member.Promised{To: "feed-e1", Until: boottime.Now() + time.Minute},
			promises: member.Promises{By: []string{"feed-w1"}}}})
	seen := o.clusters()[0].Members[0]
	if left := time.Duration(seen.Seen.Promised) * time.Millisecond; left <= 50*time.Second || left > time.Minute {
		t.Errorf("promised for %s", left)
	}
	if len(seen.Seen.PromisedBy) != 1 || seen.Protection.String() != "guard: both, kernel end (launcher)" ||
		len(seen.Protection.Missing) != 1 {
		t.Errorf("promised by %v, protection %s", seen.Seen.PromisedBy, seen.Protection)
	}

	mux := http.NewServeMux()
	o.probes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", strings.NewReader("")))
	found := regexp.MustCompile(`(?m)^mainstay_agent_promised_seconds\{cluster="feed",member="feed-e2"\} (\S+)$`).FindStringSubmatch(
		w.Body.String())
	if found == nil {
		t.Fatalf("no metric of the promise in\n%s", w.Body)
	}
	if left, err := strconv.ParseFloat(found[1], 64); err != nil || left <= 50 || left > 60 {
		t.Errorf("mainstay_agent_promised_seconds is %s", found[1])
	}
}
