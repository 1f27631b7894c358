package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/wire"
)

func (p *program) localVerb() *cobra.Command {
	var file, address string
	c := &cobra.Command{
		Use:   "local [HOST]",
		Short: "Show this host's members and app servers without any controller",
		Long: `Ask the agent of this host for its members and app servers: the last resort where no controller answers. Where the agent is
down too, the command shows what it keeps on disk: the highest epoch that it obeyed, the epochs that it has closed, and its
seals. Run it as the agent's user; it uses the agent's certificate.

HOST is a check: the file must be that host's. It chooses the file where several agents run on one machine, as in the demo:
theirs are agent-HOST.yaml. MAINSTAY_ETC names another folder of these files than /etc/mainstay.`,
		Example: "  sudo mainstay local\n  sudo mainstay local -f /etc/mainstay/agent.yaml --address 127.0.0.1:7201",
		Args:    words("[HOST]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if address != "" {
				if err := checkAddresses("--address", []string{address}); err != nil {
					return err
				}
			}
			return p.local(ctx, file, strings.Join(args, ""), address)
		}),
	}
	c.PersistentFlags().StringVarP(&file, "file", "f", "", "the agent's local file (default /etc/mainstay/agent.yaml)")
	c.Flags().StringVar(&address, "address", "", "host:port of the agent (default the one in its file)")
	c.AddCommand(p.maskVerb(maskService, &file), p.maskVerb(unmaskService, &file), p.localRestoreVerb(&file))
	return c
}

// agentFile is the file of this host's agent: file if it is named, else the one in the folder of such files. host may be "".
func (p *program) agentFile(file, host string) (string, error) {
	if file != "" {
		return file, nil
	}
	folder := cmp.Or(p.env("MAINSTAY_ETC"), "/etc/mainstay")
	if own := filepath.Join(folder, "agent-"+host+".yaml"); host != "" {
		if _, err := os.Stat(own); err == nil {
			return own, nil
		}
	}
	file = filepath.Join(folder, "agent.yaml")
	if _, err := os.Stat(file); host != "" || !errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	several, err := filepath.Glob(filepath.Join(folder, "agent-*.yaml"))
	if err != nil || len(several) == 0 {
		return file, nil
	}
	for i, path := range several {
		several[i] = "mainstay local " + strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "agent-"), ".yaml")
	}
	return "", usagef("several agents have their files in %s; name one with -f, or the host: %s", folder, strings.Join(several, ", "))
}

func (p *program) local(ctx context.Context, file, host, address string) error {
	file, err := p.agentFile(file, host)
	if err != nil {
		return err
	}
	cfg, err := config.LoadAgent(file)
	if err != nil {
		return err
	}
	if host != "" && host != cfg.Host {
		return refusedf("%s is the file of host %s; run `mainstay local %s` on host %s", file, cfg.Host, host, host)
	}
	if address == "" {
		address = cfg.Advertise
	}
	answer := p.askLocal(ctx, cfg, address)
	if answer.Status != nil {
		return p.show(answer, func(o render.Options) string { return render.Agent(answer, o) })
	}
	kept, err := keptState(cfg.Data)
	if err != nil {
		return fmt.Errorf("the agent does not answer (%s), and its state cannot be read: %w; check that this is its host and %s its file",
			answer.Error, err, file)
	}
	err = p.show(map[string]any{"agent": answer, "kept": kept}, func(o render.Options) string {
		return render.Agent(answer, o) + "\nThe agent's state in " + cfg.Data + ":\n" + render.Kept(kept, o) +
			"\nnext: systemctl status mainstay-agent\n"
	})
	if err != nil {
		return err
	}
	return quietError{exitFailed}
}

// askLocal asks the agent with its own identity, which every agent accepts.
func (p *program) askLocal(ctx context.Context, cfg config.Agent, address string) render.AgentAnswer {
	store, err := identity.Load(identity.Files(cfg.TLS))
	if err != nil {
		return render.AgentAnswer{Address: address, Error: err.Error()}
	}
	c := p.dial([]string{address}, store.ClientConfig(identity.RoleAgent, cfg.Host, identity.ProtoHTTP))
	defer c.Close()
	ctx, cancel := p.request(ctx)
	defer cancel()
	var st wire.Status
	if err := c.DoAt(ctx, address, http.MethodGet, "/v1/status", nil, &st); err != nil {
		return render.AgentAnswer{Address: address, Error: wire.Why(err)}
	}
	return render.AgentAnswer{Address: address, Status: &st}
}

// keptState reads the promises that the agent keeps for each member, each with the error where it cannot be read.
func keptState(data string) ([]render.KeptMember, error) {
	dir := filepath.Join(data, "members")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []render.KeptMember
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || e.IsDir() {
			continue
		}
		k := render.KeptMember{Name: name}
		if k.Durable, err = readDurable(filepath.Join(dir, e.Name())); err != nil {
			k.Error = err.Error()
		}
		all = append(all, k)
	}
	if len(all) == 0 {
		return nil, errors.New(dir + " holds the state of no member")
	}
	return all, nil
}

func readDurable(path string) (d member.Durable, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("%s: %w; the agent does not start this member until it is repaired", path, err)
	}
	return d, nil
}
