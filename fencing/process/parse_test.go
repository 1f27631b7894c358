package process

import (
	"os"
	"os/exec"
	"reflect"
	"testing"
)

// Who was seen and has ended since is no process outside of a cgroup, nor is another one that got the number.
func TestOver(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := readProc(cmd.Process.Pid)
	if err != nil || p.over() {
		t.Errorf("a process that runs is over: %+v, %v", p, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if !p.over() {
		t.Error("a process that has ended is not over")
	}
	self, err := readProc(os.Getpid())
	if self.start++; err != nil || !self.over() {
		t.Errorf("a number in use by a later process is not over: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	line := "42 (a) b (c)) S 7 41 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 98765 1 1"
	got, err := parseStat(42, []byte(line))
	want := proc{pid: 42, parent: 7, session: 42, threads: 3, comm: "a) b (c)", state: 'S', start: 98765}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "42 x S 7 41 42 0 -1 1 1 0 0 0 0 0 0 0 20 0 3 0 98765 1 1", "42 (x) S",
		"42 (x) S a 42 42 0 -1 1 1 0 0 0 0 0 0 0 20 0 3 0 9 1"} {
		if p, err := parseStat(42, []byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, p)
		}
	}
}

func TestEnded(t *testing.T) {
	for _, c := range []struct {
		p    proc
		want bool
	}{
		{proc{state: 'Z', threads: 1}, true},
		{proc{state: 'X'}, true},
		{proc{state: 'Z', threads: 2}, false}, // its leader has ended, a thread still runs
		{proc{state: 'D', threads: 1}, false},
		{proc{state: 'T', threads: 1}, false},
	} {
		if got := c.p.ended(); got != c.want {
			t.Errorf("%c with %d threads: ended = %v", c.p.state, c.p.threads, got)
		}
	}
}

func TestFindMount(t *testing.T) {
	const v1 = "37 31 0:34 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n"
	for _, c := range []struct {
		name, info string
		want       mount
		ok         bool
	}{
		{"beside v1", v1 + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n",
			mount{"/", "/sys/fs/cgroup/unified"}, true},
		{"with blanks", `41 31 0:38 /a\040b /mnt/c\134d rw - cgroup2 none rw`, mount{"/a b", `/mnt/c\d`}, true},
		{"v1 only", v1, mount{}, false},
		{"a path that says cgroup2", "41 31 0:38 / /cgroup2 rw - tmpfs cgroup2 rw\n", mount{}, false},
		{"cut short", "41 31 - cgroup2\n", mount{}, false},
	} {
		if got, ok := findMount(c.info); got != c.want || ok != c.ok {
			t.Errorf("%s: got %+v, %v", c.name, got, ok)
		}
	}
}

func TestOwnGroup(t *testing.T) {
	own, ok := findOwn("4:memory:/x\n0::/system.slice/mainstay-agent.service\n")
	if !ok || own != "/system.slice/mainstay-agent.service" {
		t.Fatalf("got %q, %v", own, ok)
	}
	if own, ok := findOwn("4:memory:/x\n"); ok {
		t.Errorf("without v2: got %q", own)
	}
	for _, c := range []struct {
		m           mount
		group, want string
		ok          bool
	}{
		{mount{"/", "/sys/fs/cgroup"}, "/a/b", "/sys/fs/cgroup/a/b", true},
		{mount{"/a", "/sys/fs/cgroup"}, "/a/b", "/sys/fs/cgroup/b", true},
		{mount{"/a", "/sys/fs/cgroup"}, "/a", "/sys/fs/cgroup", true},
		{mount{"/a", "/sys/fs/cgroup"}, "/ab", "", false},
		{mount{"/a", "/sys/fs/cgroup"}, "/../x", "", false},
	} {
		if got, ok := c.m.under(c.group); got != c.want || ok != c.ok {
			t.Errorf("%+v shows %s as %q, %v", c.m, c.group, got, ok)
		}
	}
}

func TestDescendSparesSelfAndAncestors(t *testing.T) {
	all := map[int]proc{}
	for pid, parent := range map[int]int{1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 21: 20, 22: 21, 23: 21} {
		all[pid] = proc{pid: pid, parent: parent, state: 'S', threads: 1}
	}
	ended := all[22]
	ended.state = 'Z'
	all[22] = ended
	got := pidsOf(descend(all, []int{20, 10, 1, 999}, 12))
	if want := []int{20, 21, 23}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
