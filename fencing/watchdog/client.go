package watchdog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/fencing/guard"
)

// answerWithin bounds one Tell, the start of a holder included.
const answerWithin = 5 * time.Second

// Client is the agent's connection to the holder of its host's watchdog. It is for one goroutine, and not for the lease path: it
// touches a filesystem.
type Client struct {
	Executable string // the mainstay binary
	Dir        string // of the holder's socket; made with mode 0700 if its parent exists
	Device     string
	pid        int // of the last holder that answered
}

// Tell sends the wish to the holder and returns its status; if there is no holder and the wish is on, it starts one. Beside an error the
// status has the answer. A holder of another version or device is asked to end.
func (c *Client) Tell(ctx context.Context, w Wish) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	s, err := c.ask(ctx, w)
	if absent(err) {
		if c.pid != 0 {
			guard.Reap(c.pid)
			c.pid = 0
		}
		if !w.On {
			return Status{}, nil
		}
		if err = c.start(ctx); err == nil {
			s, err = c.ask(ctx, w)
		}
	}
	if err == nil && !w.Leave && (s.Proto != proto || s.Device != c.Device) {
		w.Leave = true
		s, err = c.ask(ctx, w)
	}
	if err != nil {
		err = fmt.Errorf("the holder of the watchdog: %w", err)
	}
	return s, err
}

func (c *Client) start(ctx context.Context) error {
	if err := guard.PrepareDir(c.Dir); err != nil {
		return err
	}
	cfg, err := json.Marshal(config{Dir: c.Dir, Device: c.Device})
	if err != nil {
		return err
	}
	return guard.Spawn(ctx, "mainstay-watchdog", cfg, c.Executable, "watchdog-holder", "guard", "watchdog")
}

func (c *Client) ask(ctx context.Context, w Wish) (Status, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socketPath(c.Dir))
	if err != nil {
		return Status{}, err
	}
	defer conn.Close()
	peer, err := guard.PeerOf(conn.(*net.UnixConn))
	if err == nil && !guard.Trusted(peer) {
		err = fmt.Errorf("its socket belongs to uid %d; remove %s", peer.Uid, c.Dir)
	}
	if err != nil {
		return Status{}, err
	}
	deadline, _ := ctx.Deadline()
	if err = guard.WriteLine(conn, w, time.Until(deadline)); err == nil {
		err = conn.SetReadDeadline(deadline)
	}
	if err != nil {
		return Status{}, err
	}
	line, err := bufio.NewReaderSize(conn, maxLine).ReadSlice('\n')
	var r reply
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	c.pid = int(peer.Pid)
	return r.Status, err
}

// absent tells whether err means that there is no holder.
func absent(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}
