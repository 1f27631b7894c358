package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// Apps are the app servers of app web: two on each of the sites east and west, each on a host of its own, whose agent starts
// and stops it as a command.
type Apps struct {
	Server     string   // the program feedserver; it is copied into the testbed's folder
	Everywhere bool     // run: everywhere; else with-primary
	Settings   []string // go into the app's entry, as YAML lines
}

// AppPort is where an app server listens.
const AppPort = "8080"

func (s *Testbed) appHosts() {
	if s.Apps == nil {
		return
	}
	for i, short := range []string{"e1", "e2", "w1", "w2"} {
		site := map[byte]string{'e': "east", 'w': "west"}[short[0]]
		s.add(Host{Name: "app-" + short, Site: site, App: "web-" + short}, 41+i)
	}
}

// AppHosts are the hosts of app servers.
func (s *Testbed) AppHosts() []Host {
	return slices.DeleteFunc(slices.Clone(s.Hosts), func(h Host) bool { return h.App == "" })
}

// On lists everything on a site: hosts of members, of app servers, and of controllers.
func (s *Testbed) On(site string) (names []string) {
	for _, h := range s.Hosts {
		if h.Site == site {
			names = append(names, h.Name)
		}
	}
	return names
}

// AppURLs are the app servers in turn, those of the site east first.
func (s *Testbed) AppURLs() (urls []string) {
	for _, h := range s.AppHosts() {
		urls = append(urls, "http://"+net.JoinHostPort(h.Address, AppPort))
	}
	return urls
}

// StartApps makes the app's database, and adds the app servers to the platform. The cluster must be healthy.
func (s *Testbed) StartApps(ctx context.Context) error {
	if _, err := s.Application(ctx); err != nil {
		return err
	}
	for _, site := range []string{"east", "west"} {
		if err := os.WriteFile(s.secret(site), []byte(s.siteDSN(site)+"\n"), 0o600); err != nil {
			return err
		}
	}
	s.serve = true
	if err := s.Rewrite(); err != nil {
		return err
	}
	if err := s.Apply(ctx); err != nil {
		return err
	}
	return s.WaitApps(ctx)
}

// WaitApps waits until every app server that should run is well, and every other one has stopped.
func (s *Testbed) WaitApps(ctx context.Context) error {
	return s.Wait(ctx, "the app servers to reach their goals", func() (bool, string) {
		app, err := s.AppState(ctx)
		if err != nil {
			return false, err.Error()
		}
		if app.Moving || s.Apps != nil && !s.Apps.Everywhere && app.Site == "" {
			return false, "the pool moves: " + app.Now
		}
		for _, i := range app.Instances {
			switch {
			case i.Seen == nil:
				return false, i.Name + " is not reported"
			case i.Goal == platform.WantStopped && !i.Seen.Stopped:
				return false, i.Name + " has not stopped"
			case i.Goal == platform.WantRunning && (i.Health != health.Well || i.Out != ""):
				return false, fmt.Sprintf("%s is not well: %s %s", i.Name, i.Error, i.Seen.Error)
			}
		}
		return true, ""
	})
}

// AppState is the status of app web.
func (s *Testbed) AppState(ctx context.Context) (wire.AppState, error) {
	st, err := s.Status(ctx)
	if err == nil && len(st.Apps) != 1 {
		err = errors.New("status shows no app")
	}
	if err != nil {
		return wire.AppState{}, err
	}
	return st.Apps[0], nil
}

// Reapply changes the platform in force, which a test may want otherwise for a while.
func (s *Testbed) Reapply(ctx context.Context, change func(*platform.Platform)) error {
	c := s.kept()
	return s.Wait(ctx, "the change to be applied", func() (bool, string) {
		var now wire.PlatformAnswer
		if err := c.Do(ctx, http.MethodGet, "/v1/platform", nil, &now); err != nil {
			return false, err.Error()
		}
		change(now.Platform)
		err := c.Do(ctx, http.MethodPut, "/v1/platform", wire.ApplyRequest{Platform: now.Platform, Base: now.Version}, nil)
		return err == nil, fmt.Sprint(err)
	})
}

// appFolder is where the agent keeps what belongs to the app server of a host.
func (s *Testbed) appFolder(h Host) string { return s.path("agent-"+h.Name, "instances", h.App) }

func (s *Testbed) secret(site string) string { return s.path("etc", "feed-"+site+".dsn") }

// siteDSN is DSN with the site's own members first: while a site is lost its hosts swallow what is sent to them.
func (s *Testbed) siteDSN(site string) string {
	var near, far []string
	for _, h := range s.Of(false) {
		if h.Site == site {
			near = append(near, h.Address)
		} else {
			far = append(far, h.Address)
		}
	}
	return s.dsn(append(near, far...))
}

// instanceOf is the app server's entry in the file of its host's agent.
func (s *Testbed) instanceOf(h Host) string {
	if h.App == "" {
		return ""
	}
	words := []string{filepath.Join(s.Dir, "bin", "feedserver"), "-listen", net.JoinHostPort(h.Address, AppPort), "-name", h.App, "-dsn-file",
		s.secret(h.Site)}
	for i, w := range words {
		words[i] = `"` + w + `"`
	}
	return fmt.Sprintf("instances:\n  %s:\n    command: [%s]\n    stop: 2s\n", h.App, strings.Join(words, ", "))
}

// appEntry is the part of the platform file below `apps:`.
func (s *Testbed) appEntry() string {
	if !s.serve {
		return ""
	}
	run := platform.RunWithPrimary
	if s.Apps.Everywhere {
		run = platform.RunEverywhere
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apps:\n  - name: web\n    needs: [feed]\n    run: %s\n    check: {http: \"http://{address}/healthz\"}\n", run)
	for _, line := range s.Apps.Settings {
		b.WriteString("    " + line + "\n")
	}
	b.WriteString("    instances:\n")
	for _, h := range s.AppHosts() {
		fmt.Fprintf(&b, "      - {name: %s, site: %s, host: %s, address: \"%s\"}\n", h.App, h.Site, h.Name, net.JoinHostPort(h.Address, AppPort))
	}
	return b.String()
}

// AppServer is the pid of an app server's process, 0 if it does not run.
func (s *Testbed) AppServer(instance string) int {
	for _, pid := range s.own() {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if words := strings.Split(string(raw), "\x00"); instance != "" && strings.HasSuffix(words[0], "/feedserver") &&
			slices.Contains(words, instance) {
			return pid
		}
	}
	return 0
}

// SiteWays are all ways between a site and all other hosts, including the clients; its own hosts still reach each other.
func (s *Testbed) SiteWays(site string) []Way {
	others := []string{Outside}
	for _, h := range s.Hosts {
		if h.Site != site {
			others = append(others, h.Name)
		}
	}
	return Both(Ways(s.On(site), others))
}

// SiteSwitchover begins one, and returns its id. It is asked again while there is no leader, or something speaks against it.
func (s *Testbed) SiteSwitchover(ctx context.Context, to string) (string, error) {
	c := s.kept()
	var answer wire.OperationAnswer
	err := s.Wait(ctx, "a site switchover to "+to+" to be accepted", func() (bool, string) {
		err := c.Do(ctx, http.MethodPost, "/v1/site-switchovers", wire.SiteSwitchoverRequest{To: to, Reason: "a test"}, &answer)
		return err == nil, fmt.Sprint(err)
	})
	return answer.Operation, err
}

// SiteChange is the record of a site switchover.
func (s *Testbed) SiteChange(ctx context.Context, id string) (state.Operation, error) {
	var h wire.HistoryAnswer
	if err := s.do(ctx, http.MethodGet, "/v1/site-switchovers/"+id, nil, &h); err != nil {
		return state.Operation{}, err
	}
	return h.Operations[0], nil
}
