package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/test/conform"
	"mainstay/test/sim/world"
)

// TestStoreConforms: what the simulator's agents keep on disk, and what an agent's home does when its process is killed.
func TestStoreConforms(t *testing.T) {
	conform.Check(t, "store",
		func(_ *testing.T, seed uint64) conform.Driver { return &storeScript{store: world.NewStore(seed)} },
		func(t *testing.T) conform.Driver { return &storeScript{store: newRealStore(t)} })
}

// store is what the cases ask of one: epochs are promised one after the other.
type store interface {
	Promise(n uint64) error // begins
	Told() uint64           // the last one acknowledged
	Kept() uint64           // what is on disk
	Kill()
	Start()
	Fill(full bool)
	Lose()
	Pass(d time.Duration)
}

// storeScript knows the verbs promise N, kill, start, fill, empty and lose, and looks by told and kept. Where one promise was under way
// at a kill, kept is either.
type storeScript struct {
	store
	before, begun uint64 // what was acknowledged when the last promise was begun, and that promise
}

func (s *storeScript) Do(_ context.Context, step conform.Step) (string, error) {
	switch step.Verb {
	case "promise":
		n, err := strconv.ParseUint(step.Args[0], 10, 64)
		s.before, s.begun = s.Told(), n
		return "", errors.Join(err, s.Promise(n))
	case "told":
		return epochText(s.Told()), nil
	case "kept":
		kept := s.Kept()
		either := fmt.Sprintf("%d or %d", s.before, s.begun)
		if step.Want == either && (kept == s.before || kept == s.begun) && kept >= s.Told() {
			return either, nil
		}
		return epochText(kept), nil
	case "kill":
		s.Kill()
	case "start":
		s.Start()
	case "fill", "empty":
		s.Fill(step.Verb == "fill")
	case "lose":
		s.Lose()
	default:
		return "", fmt.Errorf("there is no verb %s", step.Verb)
	}
	return "", nil
}

func epochText(n uint64) string {
	if n == 0 {
		return "none"
	}
	return strconv.FormatUint(n, 10)
}

// promiser is the environment variable that has this test keep promises in that folder.
const promiser = "MAINSTAY_TEST_PROMISER"

// TestPromiser keeps what it reads from its input, a number a line, and says when that is done.
func TestPromiser(t *testing.T) {
	dir := os.Getenv(promiser)
	if dir == "" {
		return // it is a process of TestStoreConforms
	}
	h, err := openHome(dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.KeepDurable("a", member.Durable{Epoch: platform.Epoch{Number: n}}); err == nil {
			fmt.Println("kept", n)
		}
	}
}

// realStore is an agent's home in a process that can be killed.
type realStore struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd // nil while none runs
	in   io.WriteCloser
	told atomic.Uint64
	read chan struct{} // closed once its words have ended
}

func newRealStore(t *testing.T) *realStore {
	s := &realStore{t: t, dir: filepath.Join(t.TempDir(), "home")}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

func (s *realStore) Pass(d time.Duration) { time.Sleep(d) }

func (s *realStore) Start() {
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestPromiser$")
	cmd.Env = append(os.Environ(), promiser+"="+s.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.in, err = cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd, s.read = cmd, make(chan struct{})
	go func() {
		defer close(s.read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			word, number, _ := strings.Cut(lines.Text(), " ")
			if n, err := strconv.ParseUint(number, 10, 64); err == nil && word == "kept" {
				s.told.Store(n)
			}
		}
	}()
}

func (s *realStore) Promise(n uint64) error {
	_, err := fmt.Fprintln(s.in, n)
	return err
}

func (s *realStore) Told() uint64 { return s.told.Load() }

func (s *realStore) Kept() uint64 {
	d, err := home{dir: s.dir}.Durable("a")
	if err != nil {
		s.t.Fatal(err) // it is torn
	}
	return d.Epoch.Number
}

func (s *realStore) Kill() {
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Error(err)
	}
	<-s.read
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}

// Fill keeps the new file from being written.
func (s *realStore) Fill(full bool) {
	path, err := filepath.Join(s.dir, "members", "a.json.new"), error(nil)
	if _ = os.RemoveAll(path); full {
		err = os.Mkdir(path, 0o700)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *realStore) Lose() {
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatal(err)
	}
}
