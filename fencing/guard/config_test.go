package guard

import (
	"strings"
	"testing"

	"mainstay/controller/platform"
)

func TestParseEpoch(t *testing.T) {
	if e, err := parseEpoch("3.17"); err != nil || e != (platform.Epoch{Generation: 3, Number: 17}) {
		t.Errorf("got %v, %v", e, err)
	}
	for _, bad := range []string{"", "1", "1.", ".1", "1.2.3", "1.2 ", " 1.2", "01.2", "-1.2", "1.x"} {
		if e, err := parseEpoch(bad); err == nil {
			t.Errorf("%q was read as %v", bad, e)
		}
	}
}

func TestBadConfig(t *testing.T) {
	const good = `{"member":"feed-e1","slot":"a","dir":"/run/mainstay/feed-e1","dataDir":"/data/feed","cgroup":"/sys/fs/cgroup/x"}`
	if _, err := readConfig(strings.NewReader(good + "\n")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"no member":          {`"feed-e1","slot"`, `"","slot"`, "is not a valid member name"},
		"member with slash":  {`"feed-e1","slot"`, `"a/b","slot"`, "is not a valid member name"},
		"bad slot":           {`"a"`, `"c"`, "want a or b"},
		"no slot":            {`"slot":"a",`, ``, "want a or b"},
		"relative dir":       {`"/run/mainstay/feed-e1"`, `"run"`, "socket directory"},
		"unclean dir":        {`"/run/mainstay/feed-e1"`, `"/run/../x"`, "socket directory"},
		"long dir":           {`/run/mainstay`, "/" + strings.Repeat("x", 100), "107 bytes"},
		"no data directory":  {`"/data/feed"`, `""`, "data directory"},
		"root as data":       {`"/data/feed"`, `"/"`, "data directory"},
		"relative cgroup":    {`"/sys/fs/cgroup/x"`, `"x"`, "cgroup"},
		"unknown field":      {`"slot"`, `"lease":1,"slot"`, "not valid"},
		"wrong type":         {`"feed-e1","slot"`, `7,"slot"`, "not valid"},
		"not JSON":           {`{`, `<`, "not valid"},
		"something after it": {`}`, `} {}`, "followed by"},
		"too long":           {`feed-e1","slot`, strings.Repeat("x", maxLine) + `","slot`, "longer than"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: the case changes nothing", name)
		}
		if _, err := readConfig(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, c.want)
		}
	}
	if _, err := readConfig(strings.NewReader("")); err == nil {
		t.Error("an empty configuration was accepted")
	}
}
