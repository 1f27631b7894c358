package process

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWatchWithoutDescriptors: who has no descriptor left to look does not take a living process for an ended one.
func TestWatchWithoutDescriptors(t *testing.T) {
	spare, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 128, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		defer f.Close()
	}
	for _, free := range []int{0, 1} { // none; and one, for the pidfd
		if free == 1 {
			spare.Close()
		}
		if h, err := Watch(os.Getpid()); errors.Is(err, ErrGone) || !Starved(err) {
			h.Close()
			t.Errorf("with %d free: %v", free, err)
		}
	}
}
