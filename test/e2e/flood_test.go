package e2e

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"mainstay/fencing"
	"mainstay/test/testbed"
)

const (
	// floodHeld is how many connections are held open to each address, floodAgain how often closed ones are opened again.
	floodHeld  = 300
	floodAgain = 50 * time.Millisecond
)

// flooded: a postmaster is killed while clients without a certificate take whatever they can get of every address of the controllers and
// agents, from other addresses and from the primary's own host.
func (tr *trial) flooded(t *testing.T) {
	p := tr.primary(t)
	var addresses []string
	for _, h := range tr.Hosts {
		ports := []string{"7201", "8008"}
		if h.Controller != "" {
			ports = []string{"7101", "9101"}
		}
		for _, port := range ports {
			addresses = append(addresses, net.JoinHostPort(h.Address, port))
		}
	}
	ctx, cancel := context.WithCancel(tr.ctx)
	var floods, full sync.WaitGroup
	for _, to := range addresses {
		full.Add(1)
		floods.Go(func() { flood(ctx, to, tr.Host(p).Address, full.Done) })
	}
	full.Wait()
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)))
	tr.failedOver(t, p, fencing.Stopped, fencing.QuorumSealed)
	tr.healthy(t)
	cancel()
	floods.Wait()
}

// flood holds connections to an address from nine addresses, and opens anew what is closed, until ctx ends. full is called once
// all were opened.
func flood(ctx context.Context, to, beside string, full func()) {
	var all sync.WaitGroup
	defer all.Wait()
	closed := make(chan string, floodHeld)
	open := func(from string) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
		c, err := d.DialContext(ctx, "tcp", to)
		if err != nil {
			closed <- from
			return
		}
		all.Go(func() {
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			defer c.Close()
			_, _ = c.Read(make([]byte, 1)) // until either side closes it
			closed <- from
		})
	}
	sources := []string{beside, "127.3.0.1", "127.3.0.2", "127.3.0.3", "127.3.0.4", "127.3.0.5", "127.3.0.6", "127.3.0.7", "127.3.0.8"}
	for n := range floodHeld {
		open(sources[n%len(sources)])
	}
	full()
	for again := time.NewTicker(floodAgain); ; {
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		}
		for range 5 {
			select {
			case from := <-closed:
				open(from)
			default:
			}
		}
	}
}
