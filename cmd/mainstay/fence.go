package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

// fenceEvery is how often the state of a fence is asked for.
const fenceEvery = 500 * time.Millisecond

func (p *program) fenceVerb() *cobra.Command {
	var req wire.FenceRequest
	var yes bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "fence HOST --reason REASON",
		Short: "Cut a host's power by its fence devices",
		Long: `Switch a host off by the fence devices that the platform file names for it, and keep it fenced: no member on it gets a
lease until mainstay unfence. Where it carries a primary, another member takes over, with the confirmed power cut as its
proof.

The command lists everything that this stops and makes you type the host's name. Without a terminal it needs --yes.`,
		Example: `  mainstay fence db-e1 --reason "its disk controller lies" --dry-run
  mainstay fence db-e1 --reason "its disk controller lies"`,
		Args: words("HOST"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if strings.TrimSpace(req.Reason) == "" {
				return usagef("--reason is missing: give the reason, which status and history show")
			}
			return p.power(ctx, args[0], "fence", req, wait, yes)
		}),
	}
	p.powerFlags(c, &req, &wait, &yes, "why, for status and history (required)")
	return c
}

func (p *program) unfenceVerb() *cobra.Command {
	var req wire.FenceRequest
	var yes bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "unfence HOST",
		Short: "Give a fenced host its power back",
		Long: `Switch a fenced host on again by its fence devices. Once they confirm it, its members get goals again and automatically
rejoin as replicas. A host that was fenced automatically gets its power back automatically, once another member is primary.`,
		Example: `  mainstay unfence db-e1`,
		Args:    words("HOST"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.power(ctx, args[0], "unfence", req, wait, true)
		}),
	}
	p.powerFlags(c, &req, &wait, &yes, "why, for the log")
	return c
}

func (p *program) powerFlags(c *cobra.Command, req *wire.FenceRequest, wait *time.Duration, yes *bool, reason string) {
	c.Flags().StringVar(&req.Reason, "reason", "", reason)
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().DurationVar(wait, "wait", 2*time.Minute, "how long to wait for the devices' confirmation")
	c.Flags().BoolVar(yes, "yes", false, "do not ask")
	p.completeHosts(c)
}

// power shows what would be done, asks for the host's name, and follows the devices to their confirmation.
func (p *program) power(ctx context.Context, host, verb string, req wire.FenceRequest, wait time.Duration, yes bool) error {
	if err := checkName("HOST", host); err != nil {
		return err
	}
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	path := "/v1/hosts/" + host + "/"
	plan := req
	plan.DryRun = true
	if _, err := p.plan(ctx, s, path+verb, plan, req.DryRun); err != nil || req.DryRun {
		return err
	}
	if err := p.typed(ctx, yes, host, "everything that runs on "+host+" ends"); err != nil {
		return err
	}
	if err := p.ask(ctx, s, http.MethodPost, path+verb, req, nil); err != nil {
		return err
	}
	return p.followPower(ctx, s, host, verb == "fence", wait)
}

// byHand tells the operator what to do where the fence devices do not work.
func byHand(off bool) string {
	if !off {
		return "; if the devices do not work, repair them: no member of the host rejoins until they confirm that it is on"
	}
	return "; if the devices do not work, switch the host off by hand; a failover that waits for the proof then takes your word: " +
		"`mainstay failover CLUSTER --to MEMBER --accept-loss REASON --fenced`"
}

func (p *program) followPower(ctx context.Context, s *session, host string, off bool, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	told := ""
	for {
		var a wire.FenceState
		err := p.ask(ctx, s, http.MethodGet, "/v1/hosts/"+host+"/fence", nil, &a)
		switch f := a.Fence; {
		case err != nil && ctx.Err() == nil && !passing(err):
			return fmt.Errorf("follow the devices of %s: %w; the leader keeps asking them: see `mainstay status`", host, err)
		case err == nil && !off && f == nil:
			return p.show(a, func(render.Options) string { return host + " has its power back\n" })
		case err == nil && off && f != nil && f.Off:
			return p.show(a, func(render.Options) string { return host + " is off: " + f.Detail + "\n" })
		case err == nil && f != nil && f.Detail != told:
			told = f.Detail
			p.say("not confirmed: %s; trying again", told)
		}
		select {
		case <-ctx.Done():
			return timeoutError{"the devices have not confirmed it within " + wait.String() +
				"; the leader keeps asking them: see `mainstay status`" + byHand(off)}
		case <-time.After(fenceEvery):
		}
	}
}
