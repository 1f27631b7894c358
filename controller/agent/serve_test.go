package agent

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// The agent itself shows the promises that its members have given: there may be no leader to show them (L5).
func TestPromisesAreShown(t *testing.T) {
	o := newOffice(t)
	m := manage(t, o.Agent, "feed-e2", member.Durable{Epoch: epoch3})
	m.Wants(platform.Goal{Kind: platform.GoalReplica, Cluster: "feed", OtherMembers: []string{"feed-e1"}, Lease: 50 * time.Second},
		platform.Age{Number: 1})
	if a := m.Promise(platform.PromiseRequest{From: "feed-e1", To: "feed-e2", Epoch: epoch3, Length: 50 * time.Second}); !a.Given {
		t.Fatal("no promise: ", a.Reason)
	}
	seen := o.clusters()[0].Members[0]
	if left := time.Duration(seen.Seen.Promised) * time.Millisecond; left <= 50*time.Second || left > platform.CountOut(50*time.Second) {
		t.Errorf("promised for %s", left)
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
	if left, err := strconv.ParseFloat(found[1], 64); err != nil || left <= 50 || left > platform.CountOut(50*time.Second).Seconds() {
		t.Errorf("mainstay_agent_promised_seconds is %s", found[1])
	}
}
