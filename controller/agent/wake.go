package agent

import (
	"context"
	"errors"
	"net/http"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
)

// wakeTimeout bounds a held request for news: it is slightly longer than the leader holds it.
const wakeTimeout = 25 * time.Second

// waitForWake holds a request at the leader, on a connection of its own, and reports at once when goals may have changed.
func (a *Agent) waitForWake(ctx context.Context) error {
	client := wire.NewClient(a.cfg.Controllers, a.tls.ClientConfig(identity.RoleController, ""))
	defer client.Close()
	for ctx.Err() == nil {
		a.mu.Lock()
		leader, version, heartbeat := a.leaderAddress, a.version, a.heartbeatEvery
		a.mu.Unlock()
		var answer wire.Wake
		err := errors.New("no answer yet")
		if version != "" {
			err = a.held(ctx, client, leader, version, &answer)
		}
		if err == nil && answer.Version != version {
			wakeup.Signal(a.kick)
		}
		// Until the report's answer brings the new version, asking again would only spin.
		if err != nil || answer.Version != version {
			select {
			case <-ctx.Done():
			case <-a.wake:
			case <-time.After(heartbeat):
			}
		}
	}
	return nil
}

// held holds one request at that leader. It ends as soon as another controller answers as leader: a leader that is cut off would hold
// it to the end, and the next leader's goals would wait for heartbeats.
func (a *Agent) held(ctx context.Context, client *wire.Client, leader, version string, answer *wire.Wake) error {
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	a.mu.Lock()
	moved := a.leaderAddress != leader
	a.holding = cancel
	a.mu.Unlock()
	if moved {
		return errors.New("another controller leads now")
	}
	return client.DoAt(ctx, leader, http.MethodGet, "/v1/wake?version="+version, nil, answer)
}

// unhold ends the request that is held, if one is; called with a.mu held.
func (a *Agent) unhold() {
	if a.holding != nil {
		a.holding()
	}
}
