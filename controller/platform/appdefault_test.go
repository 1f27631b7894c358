package platform

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestFillDefaultsOfAnEarlierVersion(t *testing.T) {
	var p Platform // as a version without these settings stored it
	old := `{"apps": [{"name": "web", "check": {"http": "http://{address}/", "every": 2000000000}, "instances": [{"name": "w1", "site": "east", "address": "h:80"}]}]}`
	if err := json.Unmarshal([]byte(old), &p); err != nil {
		t.Fatal(err)
	}
	p.FillDefaults()
	want := App{Name: "web", Run: RunEverywhere, Minimum: 1,
		Check:     AppCheck{HTTP: "http://{address}/", Every: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
		Instances: []Instance{{Name: "w1", Site: "east", Address: "h:80"}}}
	if !reflect.DeepEqual(p.Apps[0], want) {
		t.Errorf("got  %+v\nwant %+v", p.Apps[0], want)
	}
}

func TestFillDefaultsKeepsWhatIsSaid(t *testing.T) {
	said := App{Run: RunWithPrimary, Minimum: 2, Check: AppCheck{Every: time.Minute, Timeout: 3 * time.Second, Rise: 1, Fall: 9}}
	got := said
	got.FillDefaults()
	if !reflect.DeepEqual(got, said) {
		t.Errorf("got %+v, want %+v", got, said)
	}
}

func TestFresh(t *testing.T) {
	for _, c := range []struct{ every, timeout, want time.Duration }{
		{time.Second, time.Second, 2500 * time.Millisecond},
		{time.Second, 3 * time.Second, 6500 * time.Millisecond},
		{time.Hour, time.Second, time.Hour + 1500*time.Millisecond},
	} {
		check := AppCheck{Every: c.every, Timeout: c.timeout}
		if got := check.Fresh(500 * time.Millisecond); got != c.want {
			t.Errorf("every %s, timeout %s: %s, want %s", c.every, c.timeout, got, c.want)
		}
	}
}

func TestInstanceIn(t *testing.T) {
	i := Instance{Address: "[fd00::9]:80"}
	if got := i.In("http://{address}/ok?of={address}"); got != "http://[fd00::9]:80/ok?of=[fd00::9]:80" {
		t.Error(got)
	}
	if !HasAddress("http://{address}/") || HasAddress("http://vip/") {
		t.Error("HasAddress")
	}
}
