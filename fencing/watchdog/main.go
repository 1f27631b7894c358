package watchdog

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"mainstay/fencing/guard"
)

// config is a holder's configuration: one JSON object on its standard input.
type config struct {
	Dir    string `json:"dir"`    // of its socket, 0700
	Device string `json:"device"` // below /dev
}

// Main is the hidden subcommand `mainstay guard watchdog`. It reads its configuration from standard input, writes to standard output
// whether it has begun, and returns only when it must end (0) or cannot start (1).
func Main() int { return run(openDriver) }

func run(open opener) int {
	runtime.LockOSThread() // permanently: the loop runs on the main thread
	h, ln, lock, err := begin(os.Stdin, open)
	if err != nil {
		json.NewEncoder(os.Stdout).Encode(guard.Hello{Error: err.Error()})
		return 1
	}
	defer lock.Close()
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	go func() { // for as long as the process lives
		for range term {
			h.leave()
		}
	}()
	go h.serve(ln)
	json.NewEncoder(os.Stdout).Encode(guard.Hello{PID: unix.Getpid()})
	if err := guard.Detach(); err != nil {
		return 1 // nothing is held
	}
	h.loop()
	return 0
}

// begin does all work that needs a filesystem.
func begin(stdin io.Reader, open opener) (*holder, *net.UnixListener, *os.File, error) {
	var cfg config
	d := json.NewDecoder(io.LimitReader(stdin, maxLine))
	d.DisallowUnknownFields()
	if err := d.Decode(&cfg); err != nil {
		return nil, nil, nil, fmt.Errorf("the configuration of the watchdog's holder is not valid: %w", err)
	}
	if !filepath.IsAbs(cfg.Dir) || !strings.HasPrefix(filepath.Clean(cfg.Device), "/dev/") {
		return nil, nil, nil, fmt.Errorf("the holder of the watchdog needs an absolute folder and a device below /dev, not %q and %q",
			cfg.Dir, cfg.Device)
	}
	lock, err := guard.Lock(filepath.Join(cfg.Dir, "holder.lock"))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("hold the watchdog: %w", err)
	}
	h, err := newHolder(cfg, open)
	if err == nil {
		h.prot = guard.Harden("watchdog-holder")
		var ln *net.UnixListener
		if ln, err = listen(cfg.Dir); err == nil {
			return h, ln, lock, nil
		}
	}
	lock.Close()
	return nil, nil, nil, err
}
